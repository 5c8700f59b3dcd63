"""How often each kind of interval contains the truth, in simulated studies of 3, 5 and 10 runs."""

from collections.abc import Callable

import numpy as np
import pytest

from sbn_lightning.report.statistics import (
    Difference,
    Sample,
    Spread,
    against_published,
    compare_by_design,
    for_other_images,
    shared_spread,
    summarize,
    welch,
    with_spread,
)
from sbn_lightning.report.together import dunnett_critical

STUDIES = 4000
TOLERANCE = 0.015
"""Four standard errors of the share of 4,000 studies are 0.014."""
STEP = 100 / 10_000
"""Accuracies are multiples of one image of 10,000."""

Study = Callable[[np.random.Generator, int], Difference]
"""Makes the runs of one study, in which nothing differs, and compares them."""


def accuracies(rng: np.random.Generator, n: int, std: float = 0.3) -> dict[int, float]:
    return dict(enumerate((np.round((75 + std * rng.standard_normal(n)) / STEP) * STEP).tolist()))


def sample(rng: np.random.Generator, n: int, std: float = 0.3) -> Sample:
    return summarize(accuracies(rng, n, std).values(), STEP)


def one_spread(rng: np.random.Generator, n: int) -> Difference:
    heads = [sample(rng, n) for _ in range(4)]
    spread = shared_spread(heads)
    assert spread is not None
    return with_spread(heads[0], heads[1], spread)


def paired_if_possible(rng: np.random.Generator, n: int) -> Difference:
    """Whatever the correlation is: at 5 and 10 seeds the rows are paired, with 3 they share a spread."""
    correlation = rng.choice([-0.5, 0, 0.5, 0.9]) if n >= 5 else 0
    ours, noise = accuracies(rng, n), accuracies(rng, n)
    theirs = {s: 75 + correlation * (ours[s] - 75) + np.sqrt(1 - correlation**2) * (noise[s] - 75) for s in ours}
    spread = shared_spread([summarize(ours.values()), summarize(theirs.values())])
    return compare_by_design(ours, theirs, STEP, spread)


def against_the_paper(rng: np.random.Generator, n: int) -> Difference:
    paper = 75 + 0.6 * rng.standard_normal(3).mean()
    spread = Spread(0.6 * np.sqrt(rng.chisquare(16) / 16), 16)
    return against_published(sample(rng, n), Sample(paper, 0.6, 3), spread)


def unequal_spreads(rng: np.random.Generator, n: int) -> Difference:
    return welch(sample(rng, n, 0.3), sample(rng, n, 0.1))


def other_images(rng: np.random.Generator, n: int) -> Difference:
    """Every study has other seeds and other images, which are easier for one of the heads or the other."""
    images = 100
    difficulty, liking = 1.2 + 1.5 * rng.standard_normal(images), 0.6 * rng.standard_normal(images)
    heads = []
    for sign in (1, -1):
        logit = difficulty + sign * liking + 0.8 * rng.standard_normal((n, images)) + 0.02 * rng.standard_normal((n, 1))
        heads.append(rng.random((n, images)) < 1 / (1 + np.exp(-logit)))
    ours, theirs = (dict(enumerate((100 * head.mean(1)).tolist())) for head in heads)
    spread = shared_spread([summarize(one.values(), 100 / images) for one in (ours, theirs)])
    return for_other_images(compare_by_design(ours, theirs, 100 / images, spread), *heads)


@pytest.mark.parametrize("runs", [3, 5, 10])
@pytest.mark.parametrize(
    "study",
    [one_spread, paired_if_possible, against_the_paper, unequal_spreads, other_images],
    ids=lambda f: f.__name__,
)
def test_interval_contains_the_truth_in_95_of_100_studies(study: Study, runs: int) -> None:
    rng, covered = np.random.default_rng(runs), 0
    for _ in range(STUDIES):
        covered += study(rng, runs).contains_zero
    assert covered / STUDIES == pytest.approx(0.95, abs=TOLERANCE)


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_all_intervals_together_contain_their_truths_in_95_of_100_studies(runs: int) -> None:
    rng, heads = np.random.default_rng(runs), 4
    accuracies = rng.standard_normal((40_000, heads, runs))
    std = np.sqrt(accuracies.var(2, ddof=1).mean(1))
    difference = accuracies[:, 1:].mean(2) - accuracies[:, :1].mean(2)
    critical = dunnett_critical((runs,) * (heads - 1), runs, heads * (runs - 1), 0.95)
    covered = (abs(difference) <= (critical * std * np.sqrt(2 / runs))[:, None]).all(1)
    assert covered.mean() == pytest.approx(0.95, abs=0.005)
