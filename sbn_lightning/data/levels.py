"""How many bits the levels of 16-bit images have: cameras and scanners store 10, 12 or 14 bits in the lower bits."""

from collections.abc import Callable
from functools import partial

from PIL import Image

from sbn_lightning.data.decode import Decoded, Fit, decode, fit_image
from sbn_lightning.data.sources import BadImage


def bits_of(highest: int) -> int:
    """Return how many bits levels have of which this is the highest: 8, 10, 12, 14 or 16."""
    return next(bits for bits in (8, 10, 12, 14, 16) if highest < 2**bits)


def decode_alone(content: bytes, image_size: tuple[int, int], fit: Fit, bits: int | None) -> Decoded:
    """Decode one image as those of a training were decoded.

    Args:
        content, image_size, fit: See `decode`.
        bits: Of the 16-bit gray images of the training. None if it had none: then an image has as many as its own
            highest level needs, whatever other images there are.

    Raises:
        BadImage: See `decode`; and if the image has more bits than those of the training, or fewer than 16 in 16-bit
            colours.
    """
    return _with_bits(partial(decode, content, image_size, fit), bits)


def fit_alone(image: Image.Image, image_size: tuple[int, int], fit: Fit, bits: int | None) -> Decoded:
    """Do with an image that Pillow has opened what `decode_alone` does with a file."""
    return _with_bits(partial(fit_image, image, image_size, fit), bits)


def _with_bits(decoded_with: Callable[[int], Decoded], bits: int | None) -> Decoded:
    """Return what a function of the number of bits gives for the number that `decode_alone` describes."""
    decoded = decoded_with(bits or 16)
    if not decoded.highest:
        return decoded
    own = bits_of(decoded.highest)
    if bits and own > bits:
        raise BadImage(f"has levels up to {decoded.highest:,}, more than the {bits} bits of the training's images")
    taken = bits or own
    if decoded.is_colour and taken < 16:
        raise BadImage(
            f"stores {taken} bits in 16-bit colours, of which only the upper 8 bits can be read; convert it to 8 bits"
        )
    return decoded if bits or own == 16 else decoded_with(own)
