"""Wilson's interval, against its definition and known values."""

import math

import pytest

from sbn_lightning.run.interval import Z, interval_text, wilson


@pytest.mark.parametrize(("correct", "images"), [(29, 50), (0, 7), (7, 7), (1, 1), (9_000, 10_000)])
def test_ends_are_the_accuracies_from_which_the_measured_one_is_z_standard_errors_away(
    correct: int, images: int
) -> None:
    ends, measured = wilson(correct, images), correct / images
    for end in ends:
        assert 0 <= end <= 1
        if 0 < end < 1:
            assert abs(measured - end) == pytest.approx(Z * math.sqrt(end * (1 - end) / images))
    assert ends[0] <= measured <= ends[1]


@pytest.mark.parametrize(
    ("correct", "images", "text"),
    [
        (29, 50, "95 %: 44 to 71 %"),
        (358, 360, "95 %: 98.0 to 99.8 %"),
        (7_610, 10_000, "95 %: 75.3 to 76.9 %"),
        (761_000, 1_000_000, "95 %: 76.02 to 76.18 %"),
        (0, 1, "95 %: 0 to 79 %"),
    ],
)
def test_text_has_as_many_digits_as_the_interval_is_narrow(correct: int, images: int, text: str) -> None:
    assert interval_text(correct, images) == text
