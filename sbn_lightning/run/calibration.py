"""How well probabilities agree with how often they are right, and how much one scale on the logits would improve it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from sbn_lightning.run.records import Calibrated, Refitted

BINS = 15
"""Bins of the calibration error, of equal width in confidence; a confidence of exactly 1 has one more of its own."""
SCALES = (1e-3, 1e3)
"""Range in which a scale is looked for."""
FEW_IMAGES = 5000
"""Fewer images than this are refitted in more folds: half of them would not be enough to fit a scale."""
FOLDS_OF_FEW, FOLDS_OF_MANY = 10, 2
DRAWS = 1000
"""Random outcomes of a calibrated network."""

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
    confidence, index = confidences(logits)
    right = logits.argmax(1) == labels
    sums = [np.bincount(index, weights, minlength=BINS + 1) for weights in (None, right, confidence)]
    return float(calibration_error_of_bins(*sums))


def confidences(logits: Floats) -> tuple[Floats, Labels]:
    """Return the confidence of each image, and the number of its bin."""
    confidence = np.exp(log_softmax(logits, axis=1).max(1))
    return confidence, np.searchsorted(np.linspace(0, 1, BINS + 1), confidence, side="right") - 1


def calibrated(logits: Floats) -> Calibrated | None:
    """Return the calibration error that a calibrated network with the same confidences would show on as many images.

    It is not 0, since each bin holds few images. Here each image is right with the probability of its confidence, in
    `DRAWS` random outcomes, which are the same for the same logits. Source: Vaicenavicius et al. 2019 (consistency
    resampling). None if a logit is not finite.
    """
    if not np.isfinite(logits).all():
        return None
    confidence, index = confidences(logits)
    images, sums = (np.bincount(index, weights, minlength=BINS + 1) for weights in (None, confidence))
    random = np.random.default_rng(0)
    errors = []
    for _ in range(DRAWS):
        right = random.random(len(confidence)) < confidence
        errors.append(calibration_error_of_bins(images, np.bincount(index, right, minlength=BINS + 1), sums))
    return Calibrated(float(np.mean(errors)), float(np.quantile(errors, 0.95)))


def brier(logits: Floats, labels: Labels) -> float:
    """Return the mean over the images of Σ_c (p_c − y_c)², between 0 and 2. Source: Brier 1950."""
    errors = np.exp(log_softmax(logits, axis=1))
    errors[np.arange(len(labels)), labels] -= 1
    return float((errors**2).sum(1).mean())


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
    """Return the measures of logits that are scaled by cross-fitting; None if one of its fits has no best scale."""
    found = cross_fitted(logits, labels)
    if found is None:
        return None
    scaled, scales = found
    return Refitted(nll(scaled, labels), calibration_error(scaled, labels), scales)


def cross_fitted(logits: Floats, labels: Labels) -> tuple[Floats, list[float]] | None:
    """Return the logits times scales, and the scale of each fold: the scale of a random fold of the images is fitted on
    all others, so that no image is measured with a scale that it helped to choose. None if one of these fits has no
    best scale.

    Below `FEW_IMAGES` images there are ten folds, otherwise two: a scale that is fitted on few images adds an error of
    its own. The folds are the same for every run on the same images.
    """
    folds = FOLDS_OF_FEW if len(labels) < FEW_IMAGES else FOLDS_OF_MANY
    scaled, scales = logits.copy(), []
    for fold in np.array_split(np.random.default_rng(0).permutation(len(labels)), min(folds, len(labels))):
        others = np.ones(len(labels), bool)
        others[fold] = False
        scale = fit_scale(logits[others], labels[others])
        if scale is None:
            return None
        scaled[fold] *= scale
        scales.append(scale)
    return scaled, scales
