"""What tests of several folders share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from sbn_lightning.cli import commands


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """On tensors as small as the tests', handing work to a second thread costs more than the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the digits are packed once for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def sbn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The command `sbn`, run in an empty folder: sbn("fit", "--config", "digits_sbn")."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: commands.main([str(argument) for argument in arguments])


@pytest.fixture
def fit_digits(sbn: Callable[..., None], digits_root: Path) -> Callable[..., Path]:
    """Train a small net on few digits: fit_digits("--model.head", "SoftmaxHead") -> the run's folder."""

    def fit(*arguments: str, run_dir: str = "run") -> Path:
        sbn(
            "fit", "--config", "digits_sbn", "--data.root", digits_root, "--run_dir", run_dir,
            "--model.backbone.width", 4, "--trainer.max_epochs", 2, "--trainer.enable_progress_bar", False, *arguments,
        )  # fmt: skip
        return Path(run_dir).absolute()

    return fit
