"""The margin that multiplies the angle, and its annealing."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sbn_lightning.heads.multiplicative_margin import MultiplicativeMargin, chebyshev, multiplied

ANGLES = torch.linspace(0, math.pi, 1001, dtype=torch.float64)


def test_margin_4_at_multiples_of_45_degrees() -> None:
    # there cos(4θ) is 1, -1, 1, -1, 1 and, at the start of each part, k = 0, 1, 2, 3; π is the end of the last
    angles = torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.float64) * math.pi
    golden = torch.tensor([1, -1, -3, -5, -7], dtype=torch.float64)
    torch.testing.assert_close(multiplied(angles.cos(), 4), golden, rtol=0, atol=1e-14)


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_is_the_papers_definition_by_angles(margin: int) -> None:
    k = (ANGLES * margin / math.pi).floor().clamp(max=margin - 1)
    expected = (-1) ** k * (margin * ANGLES).cos() - 2 * k
    torch.testing.assert_close(multiplied(ANGLES.cos(), margin), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_falls_everywhere_and_is_never_above_the_cosine(margin: int) -> None:
    cosine = ANGLES.cos()
    values = multiplied(cosine, margin)
    assert (values.diff() < 1e-14).all()
    assert (values <= cosine + 1e-14).all()
    assert values[-1].item() == pytest.approx(1 - 2 * margin)


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_gradient_agrees_with_finite_differences_also_where_parts_meet(margin: int) -> None:
    # the slope margin * sin(margin θ) / sin(θ) is 0 on both sides of a meeting point, which is no kink
    meeting = torch.tensor([math.cos(j * math.pi / margin) for j in range(1, margin)], dtype=torch.float64)
    cosine = torch.cat([torch.linspace(-1, 1, 21, dtype=torch.float64), meeting]).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: multiplied(c, margin), cosine, atol=1e-4)


def test_polynomials_are_those_of_chebyshev() -> None:
    c = ANGLES.cos()
    for degree, polynomial in enumerate([c, 2 * c**2 - 1, 4 * c**3 - 3 * c, 8 * c**4 - 8 * c**2 + 1], start=1):
        torch.testing.assert_close(chebyshev(c, degree), polynomial, rtol=0, atol=1e-14)


def factors(margin: MultiplicativeMargin, steps: int) -> list[float]:
    """λ of the first steps: at 90° and with margin 2, (λ * 0 - 1) / (1 + λ) tells it."""
    values = [margin(torch.zeros(1).double(), torch.ones(1).double()).item() for _ in range(steps)]
    return [-1 / value - 1 for value in values]


def test_annealing_falls_from_step_to_step_and_stops_at_its_end() -> None:
    margin = MultiplicativeMargin(2, annealing_start=1000.0, annealing_rate=0.12, annealing_end=5.0)
    golden = [1000.0, 1000 / 1.12, 1000 / 1.24]
    assert factors(margin, 3) == pytest.approx(golden, rel=1e-5)  # λ is computed in float32
    assert margin.steps == 3
    margin.steps.fill_(1658)
    assert factors(margin, 3) == pytest.approx([1000 / (1 + 0.12 * 1658), 5.0, 5.0], rel=1e-5)


def test_lengths_multiply_the_result_and_a_zero_length_has_a_finite_gradient() -> None:
    lengths = torch.tensor([2.0, 0.0], dtype=torch.float64).requires_grad_()
    cosine = torch.tensor([0.5, 0.0], dtype=torch.float64)
    changed = MultiplicativeMargin(3, 0.0, 0.0, 0.0)(lengths * cosine, lengths)
    torch.testing.assert_close(changed, torch.tensor([2 * -1.0, 0.0]).double())  # cos(3 * 60°) = -1
    changed.sum().backward()
    assert lengths.grad is not None
    assert lengths.grad.isfinite().all()


def test_steps_are_saved_and_updated_in_place() -> None:
    margin, other = MultiplicativeMargin(), MultiplicativeMargin()
    steps = margin.steps
    margin(torch.ones(1), torch.ones(1))
    assert margin.steps is steps  # DDP and CUDA graphs hold references to buffers
    other.load_state_dict(margin.state_dict())
    assert other.steps == 1


def test_half_precision_keeps_its_type() -> None:
    values: Tensor = MultiplicativeMargin().bfloat16()(torch.ones(2).bfloat16(), torch.ones(2).bfloat16())
    assert values.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": 5}, "margin must be 1, 2, 3 or 4, got 5"),
        ({"margin": 0.35}, "margin must be 1, 2, 3 or 4, got 0.35"),
        ({"annealing_end": -1.0}, "annealing_end must be at least 0, got -1.0"),
        ({"annealing_start": 1.0}, "annealing_start must not be below annealing_end, which is 5.0, got 1.0"),
        ({"annealing_rate": -0.1}, "annealing_rate must be at least 0, got -0.1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiplicativeMargin(**settings)
