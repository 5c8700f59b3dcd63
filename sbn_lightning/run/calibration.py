"""How well probabilities agree with how often they are right, and how much one scale on the logits would improve it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from sbn_lightning.run.records import Refitted

BINS = 15
"""Bins of the calibration error, of equal width in confidence; a confidence of exactly 1 has one more of its own."""
SCALES = (1e-3, 1e3)
"""Range in which a scale is looked for."""

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def calibration_error_of_bins(images: Any, correct: Any, confidence: Any) -> Any:
    """Return the expected calibration error: over bins of confidence, the mean of |accuracy − confidence|, weighted by
    the number of images in the bin. The confidence of an image is its largest probability.

    Source: Naeini et al. 2015; Guo et al. 2017.

    Args:
        images: (BINS + 1,) number of images in each bin; all three are arrays of NumPy or tensors of torch.
        correct: (BINS + 1,) number of correctly classified ones.
        confidence: (BINS + 1,) sum of their confidences.
    """
    at_least_one = images.clip(1)
    return (abs(correct / at_least_one - confidence / at_least_one) * (images / images.sum())).sum()


def calibration_error(logits: Floats, labels: Labels) -> float:
    """Return the expected calibration error of logits (N, C)."""
    confidence = np.exp(log_softmax(logits, axis=1).max(1))
    index = np.searchsorted(np.linspace(0, 1, BINS + 1), confidence, side="right") - 1
    right = logits.argmax(1) == labels
    sums = [np.bincount(index, weights, minlength=BINS + 1) for weights in (None, right, confidence)]
    return float(calibration_error_of_bins(*sums))


def nll(logits: Floats, labels: Labels) -> float:
    """Return the mean cross-entropy of logits (N, C), in nats."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def fit_scale(logits: Floats, labels: Labels) -> float | None:
    """Return the s > 0 that minimizes nll(s · logits); temperature scaling does the same with 1/s (Guo et al. 2017).

    The loss is convex in s; its derivative, mean(Σ_c p_c z_c − z_y), is bisected on a logarithmic scale. None if no s
    is best: with all images correct, larger is always better, and with logits that tell nothing, smaller is.
    """
    own = logits[np.arange(len(labels)), labels].mean()
    lower, upper = np.log(SCALES)
    for _ in range(40):
        middle = (lower + upper) / 2
        probabilities = np.exp(log_softmax(np.exp(middle) * logits, axis=1))
        is_too_large = (probabilities * logits).sum(1).mean() > own
        lower, upper = (lower, middle) if is_too_large else (middle, upper)
    has_moved = lower > np.log(SCALES[0]) and upper < np.log(SCALES[1])  # from both ends
    return float(np.exp((lower + upper) / 2)) if has_moved else None


def refit(logits: Floats, labels: Labels) -> Refitted | None:
    """Cross-fitting: the scale of each random half of the images is fitted on the other half, so that no image is
    measured with a scale that it helped to choose. None if a half has no best scale.

    The halves are the same for every run on the same images.
    """
    first, second = np.array_split(np.random.default_rng(0).permutation(len(labels)), 2)
    scale_of_first, scale_of_second = (fit_scale(logits[half], labels[half]) for half in (second, first))
    if scale_of_first is None or scale_of_second is None:
        return None
    scaled = logits.copy()
    scaled[first] *= scale_of_first
    scaled[second] *= scale_of_second
    return Refitted(nll(scaled, labels), calibration_error(scaled, labels), [scale_of_first, scale_of_second])
