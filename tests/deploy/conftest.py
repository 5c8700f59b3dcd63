"""A model that was trained on photos."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from deploy_photos import put_photos

from sbn_lightning.cli import commands
from sbn_lightning.deploy.trained import Trained, open_trained


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
