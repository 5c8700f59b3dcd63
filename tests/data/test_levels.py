"""16-bit images that are decoded one by one have the bits of the training, or else their own."""

import numpy as np
import pytest
from deep_png import deep_png

from sbn_lightning.data.levels import decode_alone
from sbn_lightning.data.sources import BadImage


def gray(level: int, bits: int | None, in_colour: bool = False) -> int:
    """The gray level of a decoded image of one 16-bit level."""
    pixels = decode_alone(deep_png(level, in_colour), (4, 4), "squash", bits).pixels
    (only,) = np.unique(pixels)
    return int(only)


@pytest.mark.parametrize(("level", "expected"), [(255, 255), (700, 700 >> 2), (4095, 255), (4096, 64), (65_535, 255)])
def test_image_has_the_bits_of_its_highest_level_if_the_training_had_no_such_images(level: int, expected: int) -> None:
    assert gray(level, bits=None) == expected


def test_image_has_the_bits_of_the_training_s_images() -> None:
    assert gray(700, bits=12) == 700 >> 4
    assert gray(700, bits=16) == 700 >> 8


def test_image_of_more_bits_than_the_training_s_is_refused() -> None:
    with pytest.raises(BadImage, match="has levels up to 4,096, more than the 12 bits of the training's images"):
        gray(4096, bits=12)


def test_colours_of_fewer_than_16_bits_are_refused_since_they_would_be_black() -> None:
    assert gray(65_535, None, in_colour=True) == 255
    for bits in (None, 12):
        with pytest.raises(BadImage, match=r"stores 12 bits in 16-bit colours, .* convert it to 8 bits"):
            gray(4000, bits, in_colour=True)
