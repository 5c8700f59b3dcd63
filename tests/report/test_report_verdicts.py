"""What an interval is called, and the sentence about it."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, write_run, written

from sbn_lightning.report.groups import group_runs
from sbn_lightning.report.runs import read_runs
from sbn_lightning.report.statistics import WELCH, Difference
from sbn_lightning.report.verdicts import Verdict, sentence, verdict_of, verdicts_of_tables

T_4 = 2.7764451  # the 97.5 % quantile of Student's t with 4 degrees of freedom


def difference(lower: float, upper: float) -> Difference:
    """A difference with this interval."""
    return Difference((lower + upper) / 2, WELCH, (upper - lower) / 2 / T_4, 4)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (difference(0.1, 2.0), Verdict.BETTER),
        (difference(0.1, 0.4), Verdict.BETTER),  # by little, but better
        (difference(-2.0, -0.1), Verdict.WORSE),
        (difference(-0.4, 0.3), Verdict.SAME),
        (difference(-0.4, 0.6), Verdict.OPEN),  # a difference that matters fits, too
        (difference(-3.0, 3.0), Verdict.OPEN),
        (Difference(5.0, WELCH, missing="a single run has no spread"), Verdict.OPEN),
    ],
)
def test_verdict_is_that_of_the_whole_interval(found: Difference, verdict: Verdict) -> None:
    assert verdict_of(found) is verdict


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list:  # type: ignore[type-arg]
    """Softmax and two heads, three seeds each."""
    root = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        for head, accuracy in ((SOFTMAX, 70), (SBN, 71), (AM_SOFTMAX, 80)):
            write_run(root / f"{head.name}{seed}", accuracy + seed / 10, head, seed)
    (group,) = group_runs(read_runs(root))
    return group.rows


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.2, 2.8), "better than softmax by 1.50 points (95 % interval +0.20 to +2.80)."),
        ((-2.8, -0.2), "worse than softmax by 1.50 points (95 % interval −2.80 to −0.20)."),
        (
            (0.1, 0.3),
            "better than softmax by 0.20 points (95 % interval +0.10 to +0.30), no more than the 0.5 points that "
            "matter here.",
        ),
        (
            (-0.3, 0.1),
            "no difference from softmax that matters: −0.10 points, and the 95 % interval, −0.30 to +0.10, lies within "
            "±0.5.",
        ),
        (
            (-1.0, 2.0),
            "these runs cannot tell it apart from softmax: +0.50 points, but any true difference from −1.00 to +2.00 "
            "fits them (95 % interval).",
        ),
    ],
)
def test_sentence_says_no_more_than_the_interval(
    rows: list,
    interval: tuple[float, float],
    said: str,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[type-arg]
) -> None:
    found = replace(rows[1].comparison, accuracy=difference(*interval), images=difference(*interval), together=None)
    monkeypatch.setattr(rows[1], "comparison", found)
    assert sentence(rows[1]) == said


def test_what_keeps_a_head_from_being_better_is_said(rows: list, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[type-arg]
    wide = difference(-1.0, 4.0)
    found = replace(rows[1].comparison, accuracy=difference(0.2, 2.8), images=wide, together=wide.interval())
    monkeypatch.setattr(rows[1], "comparison", found)
    assert sentence(rows[1]).endswith(
        "; on other test images, the two may not differ; among all comparisons of this report, one such difference may "
        "be chance."
    )


def test_several_tables_have_one_sentence_for_each_head(rows: list) -> None:  # type: ignore[type-arg]
    assert verdicts_of_tables([rows, rows]) == [
        ("AM-Softmax against softmax:", "better in 2 of 2 comparisons."),
        ("SBN against softmax:", "better in 2 of 2 comparisons."),
    ]


def test_verdicts_come_first_on_the_page_then_the_plot_then_the_table(reported: Path) -> None:
    page = written(reported, "report.html")
    verdict, plot, table = (page.index(part) for part in ("cannot tell it apart", "<svg", "<table"))
    assert page.index("<h1>softmax and SBN on MadeUp, ResNet18</h1>") < verdict < plot < table
