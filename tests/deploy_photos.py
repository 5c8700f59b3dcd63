"""Photos of three classes, for a model and for those who ask it."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("=dog", "cat", "élan")  # as they are sorted


def put_photos(folder: Path, count: int, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> None:
    """Write JPEGs of many shapes, some turned, whose brightness depends on the class."""
    generator = np.random.default_rng(seed)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            height, width = generator.integers(9, 40, 2)
            pixels = np.clip(generator.normal(60 + 60 * label, 30, (height, width, 3)), 0, 255).astype(np.uint8)
            exif = Image.Exif()
            exif[0x0112] = 1 + number % 8  # the orientation
            Image.fromarray(pixels).save(folder / name / f"{number:03}.jpg", exif=exif)
