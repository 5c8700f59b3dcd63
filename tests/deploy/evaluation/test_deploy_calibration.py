"""Whether probabilities can be believed."""

import numpy as np
import pytest
from made_up_answers import made_up

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.calibration import calibration_of, reliability, verdict
from sbn_lightning.run.calibration import fit_scale, refit


def calibrated(images: int, factor: float = 1.0) -> Answers:
    """Answers with labels that are drawn from the probabilities, whose logits are then multiplied with a factor."""
    random = np.random.default_rng(0)
    logits = 3 * random.normal(size=(images, 5))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(1)
    return Answers(factor * logits, labels, list("abcde"))


def test_bins_hold_every_image_once_and_agree_with_the_calibration_error() -> None:
    answers = made_up(500, 10)
    found = reliability(answers.logits, answers.labels)
    assert sum(one.images for one in found.bins) == 500
    assert sum(one.images * one.accuracy for one in found.bins) == pytest.approx(answers.correct)
    gaps = [one.images / 500 * abs(one.accuracy - one.confidence) for one in found.bins]
    assert found.calibration_error == pytest.approx(sum(gaps), abs=1e-12)
    assert found.calibration_error == pytest.approx(answers.measures()["calibration_error"], abs=1e-6)
    assert all(one.interval[0] <= one.accuracy <= one.interval[1] for one in found.bins)


def test_a_temperature_is_cross_fitted_where_no_images_are_held_out() -> None:
    answers = calibrated(600, factor=2)
    found, expected = calibration_of(answers), refit(answers.logits, answers.labels)
    assert found.fitted_on == "cross-fitted"
    assert len(found.temperatures) == 10
    assert found.temperature == pytest.approx(2, rel=0.1)
    assert (found.after.nll, found.after.calibration_error) == (expected.nll, expected.calibration_error)


def test_a_temperature_of_held_out_images_is_fitted_on_them_alone() -> None:
    answers, held_out = calibrated(600, factor=2), made_up(300, 5)
    found = calibration_of(answers, held_out)
    scale = fit_scale(held_out.logits, held_out.labels)
    assert found.fitted_on == "of held-out images"
    assert found.temperatures == [1 / scale]
    assert found.after == reliability(scale * answers.logits, answers.labels)


@pytest.mark.parametrize(
    ("images", "factor", "said"),
    [
        (20_000, 1.0, "Its probabilities can be believed"),
        (20_000, 3.0, "Its probabilities are too high: they are 9"),
        (20_000, 0.3, "Its probabilities are too low"),
        (30, 1.0, "There are too few images to tell"),
    ],
)
def test_verdict(images: int, factor: float, said: str) -> None:
    answers = calibrated(images, factor)
    text = verdict(calibration_of(answers), answers.correct / images)
    assert said in text
    assert ("no more than chance gives" in text) == ("probabilities are too" in text)  # a temperature mends a factor


@pytest.mark.parametrize("right", [True, False])
def test_no_temperature_is_best_where_all_is_right_or_one_image_is_all(right: bool) -> None:
    logits = np.eye(3)[[0, 1, 2]] * 5
    labels = np.array([0, 1, 2]) if right else np.array([1, 2, 0])
    for answers in (Answers(logits, labels, list("abc")), Answers(logits[:1], labels[:1], list("abc"))):
        found = calibration_of(answers)
        assert (found.after, found.temperatures) == (None, [])
        assert verdict(found, float(right))
