"""Runs that are exported."""

from collections.abc import Callable
from pathlib import Path

import photo_run
import pytest

from sbn_lightning.cli import commands


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_run.train(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds birds.onnx and birds.md, made as most people would."""
    folder = tmp_path_factory.mktemp("exported")
    commands.main(["export", "--config", str(run), "--out", str(folder / "birds.onnx")])
    return folder


@pytest.fixture(scope="session")
def digits(train_digits: Callable[..., Path]) -> Path:
    return train_digits("--data.validation_fraction=0.1")
