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


def put_unseen(folder: Path) -> list[Path]:
    """Write photos that nobody has seen: of other sizes, turned by their EXIF data, large, gray, of printing colours,
    and with transparent parts of each kind."""
    exif = Image.Exif()
    exif[0x0112] = 6
    veil = photo(5, 40, 30).convert("L")
    seen_through = photo(6, 40, 30)
    seen_through.putalpha(veil)
    photo(1, 61, 38).save(folder / "a.jpg", quality=95)
    photo(2, 44, 90).save(folder / "turned.jpg", quality=95, exif=exif)
    photo(2, 44, 90).save(folder / "turned.png", exif=exif)
    photo(3, 700, 500).save(folder / "large.jpg", quality=95)
    photo(4, 25, 33).convert("L").save(folder / "gray.png")
    photo(7, 37, 52).convert("CMYK").save(folder / "printed.jpg", quality=95)
    seen_through.save(folder / "transparent.png")
    seen_through.convert("LA").save(folder / "transparent_gray.png")
    photo(8, 30, 40).quantize(8).save(folder / "transparent_palette.png", transparency=3)
    return sorted(folder.glob("*.*g"))


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
