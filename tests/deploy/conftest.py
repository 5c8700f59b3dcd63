"""A model that was trained on photos."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sbn_lightning.cli import commands
from sbn_lightning.deploy.trained import Trained, open_trained

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


@pytest.fixture(scope="session")
def photo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on photos of three classes, which lie in `photos` beside it."""
    folder = tmp_path_factory.mktemp("photo_run")
    put_photos(folder / "photos", 20)
    options = [
        "--config=image_folder_sbn", f"--data.root={folder}/photos", "--data.image_size=16", "--data.batch_size=10",
        f"--run_dir={folder}/run", "--model.backbone=SmallCNN", "--model.backbone.width=4", "--trainer.max_epochs=4",
        "--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1",
    ]  # fmt: skip
    with redirect_stdout(io.StringIO()):
        commands.main(["fit", *options])
    return folder / "run"


@pytest.fixture(scope="session")
def trained(photo_run: Path) -> Trained:
    """Its model, on the CPU."""
    return open_trained(photo_run, device="cpu")
