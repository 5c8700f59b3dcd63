"""Tiny ImageNet to measure with: a part of the real archive where it is at hand, else random images as large."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from sbn_lightning.data.datasets.tiny_imagenet import FOLDER, TinyImageNet


def put_archive(root: Path) -> str:
    """Put `tiny-imagenet-200.zip` into root; says whether its images are "real" or "random".

    The real one is $SBN_TINY_IMAGENET_ZIP.
    """
    archive = root / f"{FOLDER}.zip"
    if real := os.environ.get("SBN_TINY_IMAGENET_ZIP"):
        archive.symlink_to(Path(real).resolve())
        return "real"
    write_random_archive(archive)
    return "random"


def write_random_archive(archive: Path) -> None:
    """The official layout with 50 training and 50 validation images a class."""
    generator = np.random.default_rng(0)

    def jpeg() -> bytes:
        buffer = io.BytesIO()
        coarse = Image.fromarray(generator.integers(0, 256, (20, 20, 3), np.uint8))
        coarse.resize((64, 64)).save(buffer, "JPEG")
        return buffer.getvalue()

    wnids = [f"n{label:08}" for label in range(TinyImageNet.num_classes)]
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{FOLDER}/wnids.txt", "\n".join(wnids))
        file.writestr(f"{FOLDER}/words.txt", "\n".join(f"{wnid}\tclass {wnid}" for wnid in wnids))
        for wnid in wnids:
            for number in range(50):
                file.writestr(f"{FOLDER}/train/{wnid}/images/{number}.JPEG", jpeg())
        lines = [f"{number}.JPEG\t{wnids[number % len(wnids)]}" for number in range(50 * len(wnids))]
        for line in lines:
            file.writestr(f"{FOLDER}/val/images/{line.partition(chr(9))[0]}", jpeg())
        file.writestr(f"{FOLDER}/val/val_annotations.txt", "\n".join(lines))
