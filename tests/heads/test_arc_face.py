"""ArcFace: a margin that is added to the angle."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.heads import ArcFaceHead
from sbn_lightning.heads.arc_face import increased, sine

ANGLES = torch.linspace(0, math.pi, 1001, dtype=torch.float64)


def test_known_angles() -> None:
    # 0 -> cos 0.5; 90° -> cos(90° + 0.5) = -sin 0.5; π - 0.5 -> cos π; beyond it, π -> cos π - 0.5 sin 0.5
    cosine = torch.tensor([1.0, 0.0, math.cos(math.pi - 0.5), -1.0], dtype=torch.float64)
    golden = [0.877582562, -0.479425539, -1.0, -1.239712769]
    assert golden == pytest.approx([math.cos(0.5), -math.sin(0.5), -1.0, -1 - 0.5 * math.sin(0.5)])
    torch.testing.assert_close(increased(cosine, 0.5), torch.tensor(golden).double(), rtol=1e-7, atol=0)


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.5, math.pi / 2])
def test_is_the_definition_by_angles(margin: float) -> None:
    angles = ANGLES[(ANGLES - (math.pi - margin)).abs() > 1e-9]  # apart from rounding where the definition jumps
    beyond = angles.cos() - margin * math.sin(margin)
    expected = torch.where(angles + margin <= math.pi, (angles + margin).cos(), beyond)
    torch.testing.assert_close(increased(angles.cos(), margin), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("margin", [0.5, math.pi / 2])
def test_falls_everywhere_and_is_never_above_the_cosine(margin: float) -> None:
    values = increased(ANGLES.cos(), margin)
    assert (values.diff() < 0).all()
    assert (values < ANGLES.cos()).all()


def test_gradient_agrees_with_finite_differences() -> None:
    cosine = torch.linspace(-0.99, 0.99, 21, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: increased(c, 0.5), cosine)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sine_and_its_gradient_are_finite_at_the_ends_and_just_beyond(dtype: torch.dtype) -> None:
    little = torch.finfo(dtype).eps
    cosine = torch.tensor([1.0, -1.0, 1 + little, -1 - little, 1 - little], dtype=dtype).requires_grad_()
    values = sine(cosine)
    # sin² = (1 - c)(1 + c), which for the last is little * (2 - little)
    assert values.tolist()[:4] == [0.0] * 4
    assert values[4].item() == pytest.approx(math.sqrt(2 * little), rel=1e-6)
    values.sum().backward()
    assert cosine.grad is not None
    assert cosine.grad.tolist()[:4] == [0.0] * 4
    assert cosine.grad[4].item() == pytest.approx(-1 / math.sqrt(2 * little), rel=1e-6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_features_in_line_with_the_weight_have_a_finite_gradient(sign: float) -> None:
    # the gradient of arccos there is infinite, and that of pytorch-metric-learning's ArcFaceLoss is NaN
    head = ArcFaceHead(16, 4)
    features = (sign * head.linear.weight.detach()).requires_grad_()
    head.loss(head(features), torch.arange(4), features).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert features.grad.abs().max() < 10
    assert head.linear.weight.grad is not None
    assert head.linear.weight.grad.isfinite().all()


def test_evaluation_has_no_margin() -> None:
    head = ArcFaceHead(6, 4).eval()
    features: Tensor = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    logits, labels = head(features), torch.arange(9) % 4
    assert torch.equal(head.loss(logits, labels, features), F.cross_entropy(logits, labels))
    assert head.train().loss(logits, labels, features) > F.cross_entropy(logits, labels)


@pytest.mark.parametrize(
    ("scale", "margin", "message"),
    [
        (0.0, 0.5, "scale must be positive"),
        (16.0, -0.1, "from 0 to π/2, got -0.1"),
        (16.0, 3.0, "from 0 to π/2, got 3.0"),  # ψ would rise from -1 to 0.57 at θ = 0.14
        (16.0, 28.6, "from 0 to π/2, got 28.6"),
    ],
)
def test_impossible_settings_are_refused(scale: float, margin: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ArcFaceHead(6, 4, scale, margin)
