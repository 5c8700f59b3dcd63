"""How well probabilities agree with how often they are right, and how much one scale on the logits would mend."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of the calibration error, of equal width in confidence."""
SCALES = (1e-3, 1e3)
"""Range that a scale is looked for in."""

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class Refitted(NamedTuple):
    """Calibration with the logits' scale fitted on images that it is not measured on.

    Attributes:
        nll: Mean cross-entropy.
        calibration_error: Expected calibration error.
        scales: The two fitted scales.
    """

    nll: float
    calibration_error: float
    scales: tuple[float, float]


def log_softmax(logits: Floats) -> Floats:
    """(N, C) -> (N, C)."""
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def nll(logits: Floats, labels: Labels) -> float:
    """Mean cross-entropy of logits (N, C), in nats."""
    return float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())


def calibration_error(logits: Floats, labels: Labels) -> float:
    """Expected calibration error: over bins of confidence, the mean |accuracy − confidence|, weighted by their sizes.

    Confidence is the largest probability. Source: Naeini et al. 2015; Guo et al. 2017.
    """
    confidence = np.exp(log_softmax(logits).max(1))
    right = logits.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def fit_scale(logits: Floats, labels: Labels) -> float | None:
    """The s > 0 that minimizes nll(s · logits), as temperature scaling does with 1/s (Guo et al. 2017).

    The loss is convex in s; its derivative, mean(Σ_c p_c z_c − z_y), is bisected on a logarithmic scale. None where no
    s is best: the larger, the better where every image is right, and the smaller where the logits tell nothing.
    """
    own = logits[np.arange(len(labels)), labels].mean()
    lower, upper = np.log(SCALES)
    for _ in range(40):
        middle = (lower + upper) / 2
        probabilities = np.exp(log_softmax(np.exp(middle) * logits))
        if (probabilities * logits).sum(1).mean() > own:
            upper = middle
        else:
            lower = middle
    has_moved = lower > np.log(SCALES[0]) and upper < np.log(SCALES[1])  # from both ends
    return float(np.exp((lower + upper) / 2)) if has_moved else None


def refit(logits: Floats, labels: Labels) -> Refitted | None:
    """Cross-fitting: the scale of each random half of the images is fitted on the other half.

    So no image is measured with a scale that it helped to choose. The halves are the same for every run on the same
    images. None where a half has no best scale.
    """
    first, second = np.array_split(np.random.default_rng(0).permutation(len(labels)), 2)
    scale_of_first, scale_of_second = (fit_scale(logits[half], labels[half]) for half in (second, first))
    if scale_of_first is None or scale_of_second is None:
        return None
    scaled = logits.copy()
    scaled[first] *= scale_of_first
    scaled[second] *= scale_of_second
    return Refitted(nll(scaled, labels), calibration_error(scaled, labels), (scale_of_first, scale_of_second))
