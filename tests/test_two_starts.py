"""Two commands in one run's folder: the second one is refused while the first one works."""

from collections.abc import Callable
from pathlib import Path

import pytest
from processes import end, start

from sbn_lightning.cli.trainer import is_first_process
from sbn_lightning.run.lock import run_lock

Sbn = Callable[..., None]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_command_in_a_locked_folder_ends_with_75_and_changes_nothing(
    command: str, fit_digits: Callable[..., Path], sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit_digits("--trainer.max_epochs", "1")
    before = contents(run)
    options = ["--trainer.max_epochs", 2, "--auto_resume", True] if command == "fit" else []
    with run_lock(run), pytest.raises(SystemExit) as refused:
        sbn(command, "--config", "run", "--trainer.enable_progress_bar", False, *options)
    assert refused.value.code == 75
    error = capsys.readouterr().err
    assert error.startswith("sbn: another process is training or testing in run; ")
    assert len(error.splitlines()) == 1
    assert contents(run) == before


def test_refused_command_leaves_no_folder(sbn: Sbn, digits_root: Path) -> None:
    for option in (["--data.batch_size", 1], ["--ckpt_path", "last"], ["--model.head.scale", -1]):
        with pytest.raises(SystemExit) as refused:
            sbn("fit", "--config", "digits_sbn", "--data.root", digits_root, *option)
        assert refused.value.code == 2
        assert not Path("runs").exists()


def test_second_fit_is_refused_until_the_first_one_is_killed(
    sbn: Sbn, digits_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = [
        "fit", "--config", "digits_sbn", "--data.root", str(digits_root), "--run_dir", "run", "--auto_resume", "true",
        "--model.backbone.width", "4", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu",
    ]  # fmt: skip
    first = start("sbn_lightning", *fit, "--trainer.max_epochs", "100000")
    try:
        assert any(line.startswith("Writes") for line in first.stdout)  # it is about to take its first step
        with pytest.raises(SystemExit) as refused:
            sbn(*fit, "--trainer.max_epochs", 100_000)
        assert refused.value.code == 75
        assert first.poll() is None
    finally:
        first.kill()
        end(first)
    assert len(list(Path("run").glob("events*"))) == 1  # the first one's
    capsys.readouterr()
    sbn(*fit, "--trainer.max_epochs", 100_000, "--trainer.max_steps", 2)  # may have trained for longer already
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "is_first"),
    [({}, True), ({"NODE_RANK": "0"}, True), ({"NODE_RANK": "1"}, False)],
    ids=["one machine", "first node", "second node"],
)
def test_only_the_first_process_holds_the_lock(
    variables: dict[str, str], is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NODE_RANK", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == is_first
