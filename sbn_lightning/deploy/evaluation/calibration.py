"""How far a network's probabilities can be believed, as they are and after temperature scaling."""

from typing import Literal

import msgspec
import numpy as np

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.run.calibration import (
    BINS,
    Floats,
    Labels,
    calibrated,
    calibration_error,
    confidences,
    cross_fitted,
    fit_scale,
    nll,
)
from sbn_lightning.run.interval import wilson
from sbn_lightning.run.records import Calibrated
from sbn_lightning.terminal import NO_BREAK

FEW = 0.05
"""A calibrated network may show a calibration error of this size on so few images that they tell little."""
FittedOn = Literal["of held-out images", "cross-fitted"]


class Bin(msgspec.Struct, frozen=True):
    """The images whose confidence lies in one of the bins of the calibration error."""

    images: int
    confidence: float  # the mean
    accuracy: float
    interval: tuple[float, float]  # Wilson's, 95 %


class Reliability(msgspec.Struct, frozen=True):
    """How confidence and accuracy agree."""

    calibration_error: float
    if_calibrated: Calibrated  # what a calibrated network would show on as many images
    nll: float
    mean_confidence: float
    bins: list[Bin]  # those that hold images

    @property
    def is_within_chance(self) -> bool:
        """Whether a perfectly calibrated network could show this calibration error by chance."""
        return self.calibration_error <= self.if_calibrated.highest


class Calibration(msgspec.Struct, frozen=True):
    """Reliability before and after the logits are divided by a temperature.

    Attributes:
        temperatures: One, fitted on held-out images; or those of the folds, where it is cross-fitted: each fold's
            temperature is fitted on the images of all others. Empty where no temperature is best.
        fitted_on: Which images they are fitted on.
    """

    before: Reliability
    after: Reliability | None
    temperatures: list[float]
    fitted_on: FittedOn

    @property
    def temperature(self) -> float:
        """The mean, a geometric one."""
        return float(np.exp(np.mean(np.log(self.temperatures))))


def calibration_of(answers: Answers, held_out: Answers | None = None) -> Calibration:
    """Return how well the probabilities agree with the share of right answers.

    Args:
        answers: What is judged.
        held_out: Other images, on which the temperature is fitted. None to cross-fit it on those that are judged.
    """
    logits, labels = answers.logits, answers.labels
    scaled, scales = None, []
    if held_out is not None:
        scale = fit_scale(held_out.logits, held_out.labels)
        if scale is not None:
            scaled, scales = scale * logits, [scale]
    elif answers.images > 1:
        found = cross_fitted(logits, labels)
        if found is not None:
            scaled, scales = found
    after = None if scaled is None else reliability(scaled, labels)
    fitted_on: FittedOn = "cross-fitted" if held_out is None else "of held-out images"
    return Calibration(reliability(logits, labels), after, [1 / scale for scale in scales], fitted_on)


def reliability(logits: Floats, labels: Labels) -> Reliability:
    """Return how well confidence and accuracy agree, given finite logits (N, C)."""
    confidence, index = confidences(logits)
    right = logits.argmax(1) == labels
    images, correct, sums = (np.bincount(index, weights, minlength=BINS + 1) for weights in (None, right, confidence))
    bins = [
        Bin(int(n), float(total / n), float(k / n), wilson(int(k), int(n)))
        for n, k, total in zip(images, correct, sums, strict=True)
        if n
    ]
    expected = calibrated(logits)
    if expected is None:
        raise ValueError("logits must be finite")
    mean = float(confidence.mean())
    return Reliability(calibration_error(logits, labels), expected, nll(logits, labels), mean, bins)


def verdict(found: Calibration, accuracy: float) -> str:
    """Say in a few sentences whether probabilities can be believed."""
    before, after = found.before, found.after
    error, highest = percent(before.calibration_error), percent(before.if_calibrated.highest)
    chance = f"their calibration error is {error}, and by chance even exact ones would show up to {highest}"
    if before.is_within_chance:
        if before.if_calibrated.highest > FEW:
            return f"There are too few images to tell whether its probabilities can be believed: {chance}."
        return f"Its probabilities can be believed: {chance}."
    gap = before.mean_confidence - accuracy
    if abs(gap) > before.calibration_error / 2:
        how, said = "too high" if gap > 0 else "too low", percent(before.mean_confidence)
        right = percent(accuracy)
        text = f"Its probabilities are {how}: they are {said} on average, and {right} of its answers are right."
    else:
        text = f"Its probabilities cannot be taken as they are: {chance}."
    if after is None:
        return text
    if after.calibration_error >= before.calibration_error:
        return f"{text} A temperature does not make this better."
    left = "no more than chance gives" if after.is_within_chance else "still more than chance gives"
    return (
        f"{text} A temperature of {found.temperature:.2f} brings their calibration error from {error} to "
        f"{percent(after.calibration_error)}, {left}."
    )


def percent(share: float) -> str:
    """E.g. 1.2 %."""
    return f"{100 * share:.1f}{NO_BREAK}%"
