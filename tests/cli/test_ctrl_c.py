"""Ctrl-C ends every command with one line and exit code 130."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_lightning import Classifier
from sbn_lightning.cli import commands

LINE = "sbn: stopped by Ctrl-C\n"


def press(*arguments: object, **settings: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_command_ends_with_one_line_and_130(
    command: str, sbn: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "call", press)
    with pytest.raises(SystemExit) as end:
        sbn(command, "--config", "digits_sbn")
    assert (end.value.code, capsys.readouterr().err) == (130, LINE)


def test_evaluation_inside_of_lightning_ends_with_one_line_and_130(
    fit_digits: Callable[..., Path],
    sbn: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit_digits("--trainer.max_epochs=1")
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Classifier, "test_step", press)
    with pytest.raises(SystemExit) as end:
        sbn("test", "--config", "run", "--trainer.enable_progress_bar", "false")
    assert (end.value.code, capsys.readouterr().err) == (130, LINE)
    assert signal.getsignal(signal.SIGINT) is before  # Lightning lets it be ignored


def test_process_that_is_still_starting_ends_with_one_line(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(commands.__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-m", "sbn_lightning", "fit", "--config", "digits_sbn"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(1.0)  # while it imports Lightning, which takes several seconds
    process.send_signal(signal.SIGINT)
    said, error = process.communicate(timeout=60)
    assert (said, error) == ("", LINE)
    assert process.returncode in (130, -signal.SIGINT)  # a shell reports the latter as 130, too
    assert not list(tmp_path.iterdir())
