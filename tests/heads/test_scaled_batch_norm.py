"""Scaled batch normalization: the paper's equation 9."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sbn_lightning.heads import ScaledBatchNorm, ScaledBatchNormHead, separated_loss

N, C = 16, 5


@pytest.fixture
def logits() -> Tensor:
    random = torch.Generator().manual_seed(0)
    return 3 * torch.randn(N, C, generator=random, dtype=torch.float64) + torch.arange(C)


def test_equals_batch_norm_times_scale_in_training_and_evaluation(logits: Tensor) -> None:
    ours = ScaledBatchNorm(C, scale=0.8, eps=1e-2, momentum=0.25).double()
    theirs = nn.BatchNorm1d(C, eps=1e-2, momentum=0.25, affine=False).double()
    for batch in (logits, logits.flip(1), 2 * logits):
        torch.testing.assert_close(ours(batch), 0.8 * theirs(batch), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.eval()(logits), 0.8 * theirs.eval()(logits), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-12, atol=1e-12)


def test_fused_form_equals_the_form_for_several_devices(logits: Tensor) -> None:
    fused, general = ScaledBatchNorm(C).double(), ScaledBatchNorm(C).double()
    weight = torch.linspace(-1, 1, N * C, dtype=torch.float64).view(N, C)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    fused_output, general_output = fused(ours), general._normalize_over_devices(theirs)
    (fused_output * weight).sum().backward()
    (general_output * weight).sum().backward()
    torch.testing.assert_close(general_output, fused_output, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(general.running_mean, fused.running_mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(general.running_var, fused.running_var, rtol=1e-12, atol=0)


def test_gradient_agrees_with_the_formula(logits: Tensor) -> None:
    # dL/dz = scale / sqrt(var + eps) * (g - mean(g) - z' * mean(g * z')), where g = dL/du = (p - y) / N, z' = u / scale
    scale, eps = 0.8, 1e-5
    norm = ScaledBatchNorm(C, scale, eps).double()
    labels = torch.arange(N) % C
    logits.requires_grad_()
    normalized = norm(logits)
    F.cross_entropy(normalized, labels).backward()
    with torch.no_grad():
        g = (normalized.softmax(dim=1) - F.one_hot(labels, C)) / N
        z = normalized / scale
        factor = scale / (logits.var(dim=0, correction=0) + eps).sqrt()
        expected = factor * (g - g.mean(dim=0) - z * (g * z).mean(dim=0))
    torch.testing.assert_close(logits.grad, expected, rtol=1e-10, atol=1e-13)


def test_logits_ignore_shift_and_scale_of_each_class(logits: Tensor) -> None:
    norm = ScaledBatchNorm(C, eps=1e-15).double()
    shift = torch.linspace(-4, 4, C, dtype=torch.float64)
    factor = torch.linspace(0.5, 3, C, dtype=torch.float64)
    torch.testing.assert_close(norm(factor * logits + shift), norm(logits), rtol=1e-12, atol=1e-12)


def test_a_bias_before_normalization_would_get_no_gradient(logits: Tensor) -> None:
    bias = torch.linspace(-1, 1, C, dtype=torch.float64).requires_grad_()
    F.cross_entropy(ScaledBatchNorm(C).double()(logits + bias), torch.arange(N) % C).backward()
    torch.testing.assert_close(bias.grad, torch.zeros_like(bias), rtol=0, atol=1e-15)


def test_gradient_becomes_orthogonal_to_each_class_weight_as_eps_vanishes(logits: Tensor) -> None:
    # ‖w‖ has no effect but through eps: <w, dL/dw> = dL/dlog‖w‖ shrinks in proportion to eps
    def radial_gradient(eps: float) -> float:
        torch.manual_seed(0)
        head = ScaledBatchNormHead(C, C, eps=eps).double()
        head.loss(head(logits), torch.arange(N) % C, logits).backward()
        weight = head.linear.weight
        assert weight.grad is not None
        return (weight.detach() * weight.grad).sum(dim=1).abs().max().item()

    assert radial_gradient(1e-2) > 1e-6
    assert radial_gradient(1e-4) == pytest.approx(radial_gradient(1e-2) / 100, rel=0.05)
    assert radial_gradient(1e-15) < 1e-15


def test_float32_survives_a_large_common_offset() -> None:
    logits = torch.randn(64, C, generator=torch.Generator().manual_seed(0))
    # 2^12 keeps the values exact to 2^-12: E[z^2] - E[z]^2 would be off by about 1
    torch.testing.assert_close(ScaledBatchNorm(C)(logits + 4096), ScaledBatchNorm(C)(logits), rtol=0, atol=2e-3)


def test_low_precision_logits_are_normalized_in_float32() -> None:
    norm = ScaledBatchNorm(2)
    logits = torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        normalized = norm(logits)
    assert torch.equal(normalized, ScaledBatchNorm(2)(logits.float()))
    assert normalized.dtype == norm.running_mean.dtype == torch.float32


def test_a_module_converted_to_bfloat16_still_trains() -> None:
    norm = ScaledBatchNorm(1).bfloat16()
    logits = torch.tensor([0.0, 2.0], dtype=torch.bfloat16).repeat(257)[:, None]  # mean 1, deviation 1
    for normalized in (norm(logits), norm._normalize_over_devices(logits)):
        assert torch.equal(normalized, logits - 1)
    assert norm.running_mean.dtype == torch.bfloat16


def test_running_estimates_are_updated_in_place(logits: Tensor) -> None:
    norm = ScaledBatchNorm(C).double()
    buffers = dict(norm.named_buffers())
    norm(logits)
    norm._normalize_over_devices(logits)
    assert all(dict(norm.named_buffers())[name] is buffer for name, buffer in buffers.items())
    assert (buffers["running_mean"] != 0).all()


def test_scale_survives_lightnings_sync_batchnorm(logits: Tensor) -> None:
    model = nn.Sequential(ScaledBatchNorm(C, scale=0.5))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model).double()
    assert converted(logits).std(dim=0, correction=0).max() <= 0.5


def test_one_training_sample_is_refused_with_advice() -> None:
    norm = ScaledBatchNorm(C)
    with pytest.raises(ValueError, match=r"at least 2 samples.*got 1.*drop_last"):
        norm(torch.zeros(1, C))
    assert norm.eval()(torch.zeros(1, C)).shape == (1, C)


@pytest.mark.parametrize("setting", [{"scale": 0.0}, {"scale": float("nan")}, {"eps": 0.0}, {"momentum": 0.0}])
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        ScaledBatchNorm(C, **setting)


def test_settings_are_printed() -> None:
    assert repr(ScaledBatchNorm(10, scale=0.9)) == "ScaledBatchNorm(10, scale=0.9, eps=1e-05, momentum=0.1)"


def test_advice_names_a_scale_that_is_large_enough() -> None:
    # 10 equal classes: log(1 + 9 exp(-scale * 10 / 3)) is 0.37 at 0.9 and falls below 0.1 at 1.335
    counts = torch.full((10,), 144)
    (advice,) = ScaledBatchNormHead(4, 10, scale=0.9).advice(counts)
    assert "Scale 0.9 " in advice
    assert "10.0% of the samples" in advice
    assert "loss of 0.37" in advice
    assert "--model.head.scale 1.4" in advice
    assert separated_loss(counts / counts.sum(), 1.4) <= 0.1
    assert ScaledBatchNormHead(4, 10, scale=1.4).advice(counts) == []


def test_advice_is_silent_for_cifar100_and_works_with_empty_classes() -> None:
    assert ScaledBatchNormHead(4, 100).advice(torch.full((100,), 500)) == []
    (advice,) = ScaledBatchNormHead(4, 5).advice(torch.tensor([30, 0, 10, 0, 10]))
    assert "60.0%" in advice
    assert "nan" not in advice


@pytest.mark.parametrize("counts", [[7, 0, 0], [0, 0, 0]])
def test_advice_says_when_there_is_nothing_to_tell_apart(counts: list[int]) -> None:
    (advice,) = ScaledBatchNormHead(4, 3).advice(torch.tensor(counts))
    assert "Fewer than two classes" in advice
