"""Pictures as files, and the pixels of files by Pillow and by us."""

import io

import numpy as np
from PIL import Image

from sbn_lightning.data.decode import Fit, decode_image

SIZE = (48, 64)


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def picture(mode: str = "RGB", height: int = 48, width: int = 64, seed: int = 0) -> Image.Image:
    """Smooth and random, its four corners of different colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    coarse[0, 0], coarse[0, -1], coarse[-1, 0], coarse[-1, -1] = (250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)
    return Image.fromarray(coarse).resize((width, height)).convert(mode)


def by_pillow(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)


def by_us(content: bytes, fit: Fit = "squash", size: tuple[int, int] = SIZE) -> np.ndarray:
    pixels = decode_image(content, size, fit)
    assert pixels.shape == (3, *size)
    assert pixels.dtype == np.uint8
    return pixels
