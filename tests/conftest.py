"""What tests of several folders share."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from sbn_lightning import Digits
from sbn_lightning.cli import commands

TESTS = Path(__file__).parent

if not os.environ.get("SBN_TEST_GPU"):
    # The suite compares bits, so it trains on the CPU, also where there is a GPU; `make test-gpu` runs what needs one.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """On tensors as small as the tests', handing work to a second thread costs more than the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def signals() -> None:
    """In the background a suite ignores Ctrl-C, by nohup SIGHUP too; the programs that tests start would inherit it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def width() -> Iterator[None]:
    """Texts are in one line each; a test that looks at their lines sets a terminal's width."""
    os.environ["COLUMNS"] = "1000"
    yield
    del os.environ["COLUMNS"]  # pytest's own texts follow


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the digits are packed once for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory: pytest.TempPathFactory, digits_root: Path) -> Path:
    """What tests/callbacks/on_two_processes.py wrote, and in the file `error` what it said; once for all processes of
    pytest."""
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = common / "two_processes"
    with FileLock(common / "two_processes.lock"):
        if not (folder / "error").exists():
            folder.mkdir(exist_ok=True)
            (folder / "error").write_text(said_on_two_processes(folder, digits_root))
    return folder


def said_on_two_processes(folder: Path, digits_root: Path) -> str:
    folders = (TESTS / "heads", TESTS / "sharding", TESTS, TESTS.parent)
    path = [*map(str, folders), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, TESTS / "callbacks/on_two_processes.py", folder, digits_root], cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        _, error = process.communicate(timeout=180)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also the second process, should the two wait for each other
    assert process.returncode == 3, error
    return error


@pytest.fixture
def counted_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[int]], None]:
    """counted_as(counts): the digits, as if so many training images were of each class."""

    def counted(counts: list[int]) -> None:
        constant = property(lambda data: torch.tensor(counts), lambda data, value: None)
        monkeypatch.setattr(Digits, "class_counts", constant, raising=False)

    return counted


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that is the current one; at the end, modules are no longer looked for in it, and those that were
    imported from it are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        places = [spec.origin, *(spec.submodule_search_locations or ())] if isinstance(spec, ModuleSpec) else []
        if any(str(place).startswith(str(tmp_path)) for place in places):
            del sys.modules[name]


@pytest.fixture
def sbn(empty_folder: Path) -> Callable[..., None]:
    """The command `sbn`, run in an empty folder: sbn("fit", "--config", "digits_sbn")."""
    return lambda *arguments: commands.main([str(argument) for argument in arguments])


@pytest.fixture
def answer(sbn: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line with which a command answers that cannot be carried out: answer("fit", "--config", "x")."""

    def run(*arguments: object) -> str:
        with pytest.raises(SystemExit) as end:
            sbn(*arguments)
        assert end.value.code == 2
        text = capsys.readouterr().err
        assert text.startswith("sbn: ")
        assert text.count("\n") == 1, text
        assert not text.endswith(":\n"), "the reason is cut off"
        return text

    return run


@pytest.fixture(scope="session")
def train_digits(tmp_path_factory: pytest.TempPathFactory, digits_root: Path) -> Callable[..., Path]:
    """Train a small net on few digits in a new folder: train_digits("--model.head=SoftmaxHead") -> the run's folder."""

    def train(*arguments: str, run_dir: Path | None = None) -> Path:
        run_dir = run_dir or tmp_path_factory.mktemp("trained") / "run"
        commands.main(
            [
                "fit", "--config", "digits_sbn", f"--data.root={digits_root}", f"--run_dir={run_dir}",
                "--model.backbone.width=4", "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false", *arguments,
            ]
        )  # fmt: skip
        return run_dir

    return train


@pytest.fixture
def fit_digits(sbn: Callable[..., None], train_digits: Callable[..., Path]) -> Callable[..., Path]:
    """The same in the current folder, which is empty before: fit_digits(run_dir="run")."""
    return lambda *arguments, run_dir="run": train_digits(*map(str, arguments), run_dir=Path(run_dir)).absolute()
