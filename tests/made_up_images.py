"""Small image files of random pixels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def put_image(path: Path, seed: int = 0, size: tuple[int, int] = (8, 8)) -> None:
    """Write an image in the format that its suffix names; the same seed gives the same pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def put_classes(folder: Path, counts: Mapping[str, int], first_seed: int = 0, suffix: str = ".png") -> None:
    """Write folder/<class>/<number>.png, as many as given for each class, no two alike."""
    seed = first_seed
    for name, count in counts.items():
        for number in range(count):
            put_image(folder / name / f"{number}{suffix}", seed)
            seed += 1
