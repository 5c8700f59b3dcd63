"""A run on photos in folders, whose class names are as odd as names can be."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from sbn_lightning.cli import commands

CLASSES = ['a "quoted" name', "two\nlines | *and* <b>", "птица", "plain"]


def photo(seed: int, width: int, height: int) -> Image.Image:
    """Smooth and random."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def sizes() -> Iterator[tuple[int, int]]:
    """Widths and heights of photos, without end."""
    random = np.random.default_rng(0)
    while True:
        yield tuple(random.integers(20, 120, 2).tolist())


def put_photos(root: Path, each: int = 12) -> None:
    """Write photos of several sizes as JPEGs, in a folder for each class."""
    of_all = sizes()
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(each):
            photo(100 * label + number, *next(of_all)).save(root / name / f"{number}.jpg", quality=90)


def train(folder: Path, fit: str = "crop") -> Path:
    """Train and test a small net on them, in FOLDER/photos, and return the folder of the run."""
    put_photos(folder / "photos")
    run, root = folder / "birds", folder / "photos"
    options = ["--model.backbone=SmallCNN", "--model.backbone.width=4", "--trainer.max_epochs=4", "--data.batch_size=8"]
    quiet = ["--optimizer.lr=0.01", "--trainer.enable_progress_bar=false", "--data.image_size=16", f"--data.fit={fit}"]
    where = ["--config=image_folder_softmax", f"--data.root={root}", f"--run_dir={run}"]
    commands.main(["fit", *where, "--model.head=ScaledBatchNormHead", *options, *quiet])
    commands.main(["test", "--config", str(run), "--trainer.enable_progress_bar=false"])
    return run
