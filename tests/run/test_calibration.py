import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from sbn_lightning.run.calibration import calibration_error, fit_scale, nll, refit

Evaluated = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def evaluated() -> Evaluated:
    """Logits (3000, 7) three times too large: labels are drawn from softmax(logits / 3)."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(3000, 7)) * 2
    gumbel = random.gumbel(size=logits.shape)
    return logits * 3, (logits + gumbel).argmax(1)


def test_nll_is_cross_entropy(evaluated: Evaluated) -> None:
    logits, labels = map(torch.from_numpy, evaluated)
    assert nll(*evaluated) == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-12)


def test_calibration_error_is_that_of_torchmetrics(evaluated: Evaluated) -> None:
    logits, labels = map(torch.from_numpy, evaluated)
    expected = multiclass_calibration_error(logits.softmax(1), labels, num_classes=7, n_bins=15)
    assert calibration_error(*evaluated) == pytest.approx(expected.item(), abs=1e-6)


def test_fitted_scale_is_where_the_loss_is_smallest(evaluated: Evaluated) -> None:
    logits, labels = evaluated
    scale = fit_scale(logits, labels)
    assert scale == pytest.approx(1 / 3, rel=0.05)
    assert nll(scale * logits, labels) <= min(nll(factor * scale * logits, labels) for factor in (0.99, 1.01))


def test_each_half_is_scaled_by_what_the_other_half_wants(evaluated: Evaluated) -> None:
    """One half's logits are ten times as large, so it wants a tenth of the scale."""
    logits, labels = evaluated
    first, second = np.array_split(np.random.default_rng(0).permutation(len(labels)), 2)
    logits[first] *= 10
    scales = refit(logits, labels).scales
    assert scales == [fit_scale(logits[half], labels[half]) for half in (second, first)]
    assert scales == pytest.approx([1 / 3, 1 / 30], rel=0.1)


def test_there_is_no_best_scale_where_all_images_are_right_or_logits_tell_nothing() -> None:
    labels = np.arange(100) % 5
    logits = np.eye(5)[labels]
    assert fit_scale(logits, labels) is None
    assert fit_scale(-logits, labels) is None
    assert refit(logits, labels) is None


def test_refitting_improves_logits_that_are_too_large(evaluated: Evaluated) -> None:
    refitted = refit(*evaluated)
    assert refitted.nll < nll(*evaluated)
    assert refitted.calibration_error < calibration_error(*evaluated) / 3
