import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from sbn_lightning.callbacks.calibration import SCALES, calibration_error, fit_scale, nll, refit


@pytest.fixture
def evaluated() -> tuple[np.ndarray, np.ndarray]:
    """Logits (3000, 7) three times too large: labels are drawn from softmax(logits / 3)."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(3000, 7)) * 2
    gumbel = random.gumbel(size=logits.shape)
    return logits * 3, (logits + gumbel).argmax(1)


def test_nll_is_cross_entropy(evaluated: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = map(torch.from_numpy, evaluated)
    assert nll(*evaluated) == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-12)


def test_calibration_error_is_that_of_the_metric_watched_in_training(
    evaluated: tuple[np.ndarray, np.ndarray],
) -> None:
    logits, labels = map(torch.from_numpy, evaluated)
    expected = multiclass_calibration_error(logits.softmax(1), labels, num_classes=7, n_bins=15)
    assert calibration_error(*evaluated) == pytest.approx(expected.item(), abs=1e-6)


def test_fitted_scale_is_where_the_loss_is_smallest(evaluated: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = evaluated
    scale = fit_scale(logits, labels)
    assert scale == pytest.approx(1 / 3, rel=0.05)
    assert nll(scale * logits, labels) <= min(nll(factor * scale * logits, labels) for factor in (0.99, 1.01))


def test_each_half_is_scaled_by_what_the_other_half_wants() -> None:
    """One half's labels follow the logits, the other's do not: whose scale is used shows."""
    random = np.random.default_rng(1)
    order = np.random.default_rng(0).permutation(400)
    labels = random.integers(0, 2, 400)
    logits = np.eye(2)[labels] * 4
    logits[order[1::2]] = logits[order[1::2], ::-1]  # always wrong
    right, wrong = refit(logits, labels).scales
    assert right == pytest.approx(SCALES[0], rel=1e-6)  # of the half that is right, fitted on the wrong one
    assert wrong == pytest.approx(SCALES[1], rel=1e-6)


def test_refitting_mends_logits_that_are_too_large(evaluated: tuple[np.ndarray, np.ndarray]) -> None:
    refitted = refit(*evaluated)
    assert refitted.nll < nll(*evaluated)
    assert refitted.calibration_error < calibration_error(*evaluated) / 3
