"""The loss of perfectly separated classes, and the scale that is large enough."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.heads import ScaledBatchNorm, separated_loss, sufficient_scale


def equal_frequencies(num_classes: int) -> Tensor:
    return torch.full((num_classes,), 1 / num_classes, dtype=torch.float64)


def zipf_frequencies(num_classes: int) -> Tensor:
    frequencies = 1 / torch.arange(1, num_classes + 1, dtype=torch.float64)
    return frequencies / frequencies.sum()


@pytest.mark.parametrize(("num_classes", "scale"), [(2, 1.0), (10, 1.0), (100, 0.9), (361, 0.8)])
def test_equal_frequencies_have_a_closed_form(num_classes: int, scale: float) -> None:
    gap = scale * num_classes / math.sqrt(num_classes - 1)
    expected = math.log1p((num_classes - 1) * math.exp(-gap))
    assert separated_loss(equal_frequencies(num_classes), scale) == pytest.approx(expected, rel=1e-12)


def test_known_values() -> None:
    # 10 classes: log(1 + 9 exp(-10 / 3)); 100 classes: log(1 + 99 exp(-100 / sqrt(99)))
    assert separated_loss(equal_frequencies(10), 1.0) == pytest.approx(0.278, abs=5e-4)
    assert separated_loss(equal_frequencies(100), 1.0) == pytest.approx(0.0043, abs=5e-5)
    assert zipf_frequencies(137).max().item() == pytest.approx(0.18, abs=5e-3)
    assert separated_loss(zipf_frequencies(137), 0.9) == pytest.approx(0.96, abs=5e-3)
    assert separated_loss(zipf_frequencies(137), 3.0) == pytest.approx(0.03, abs=5e-3)


def test_is_the_loss_of_a_separated_batch_after_normalization() -> None:
    counts = torch.tensor([50, 20, 20, 9, 1])
    labels = torch.repeat_interleave(torch.arange(5), counts)
    logits = ScaledBatchNorm(5, scale=1.3, eps=1e-12).double()(F.one_hot(labels, 5).double())
    assert separated_loss(counts / counts.sum(), 1.3) == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)


def test_empty_classes_count_as_wrong_answers_with_logit_zero() -> None:
    # two equal classes have logits +-scale, an empty one 0: log(1 + exp(-2 scale) + exp(-scale))
    loss = separated_loss(torch.tensor([0.5, 0.5, 0.0]), 2.0)
    assert loss == pytest.approx(math.log(1 + math.exp(-4) + math.exp(-2)), rel=1e-12)


@pytest.mark.parametrize("frequencies", [equal_frequencies(2), equal_frequencies(10), zipf_frequencies(137)])
def test_sufficient_scale_is_the_smallest_with_two_digits(frequencies: Tensor) -> None:
    scale = sufficient_scale(frequencies)
    assert float(f"{scale:.2g}") == scale
    step = 10.0 ** (math.floor(math.log10(scale)) - 1)
    assert separated_loss(frequencies, scale) <= 0.1 < separated_loss(frequencies, scale - step)


def test_a_hundred_thousand_classes_take_no_square_matrix() -> None:
    # scale * C / sqrt(C - 1) = 316 at scale 1: exp(-316) is 0 beside 1
    assert separated_loss(equal_frequencies(100_000), 1.0) < 1e-100
    assert sufficient_scale(zipf_frequencies(100_000)) > 1


def test_no_scale_is_sufficient_for_a_single_class() -> None:
    with pytest.raises(ValueError, match="one class holds all samples"):
        sufficient_scale(torch.tensor([1.0, 0.0]))
