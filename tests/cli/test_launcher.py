"""Launchers that have started several processes of a command that uses one."""

from collections.abc import Callable

import pytest

from sbn_lightning.cli.launcher import LAUNCHERS, check_launcher
from sbn_lightning.errors import UsageError

SLURM = {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train"}


@pytest.mark.parametrize(("launcher", "variable"), LAUNCHERS.items())
def test_other_number_of_processes_than_the_command_uses_is_refused(
    launcher: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "1", "4"):
        monkeypatch.setenv(variable, value)
        check_launcher(4, "")
    monkeypatch.setenv(variable, "3")
    with pytest.raises(UsageError, match=f"{launcher} has started 3 processes of a command that uses 1 .*; start one"):
        check_launcher(1, "start one")


@pytest.mark.parametrize("command", ["fit", "test", "prepare", "report", "check-resume"])
def test_command_that_uses_one_process_refuses_two(
    command: str, answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch, train_digits: Callable[..., object]
) -> None:
    run = train_digits("--trainer.max_epochs=1") if command == "test" else "digits_sbn"
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "torchrun has started 2 processes" in answer(command, "--config", run)


def test_tasks_of_slurm_that_lightning_does_not_accept_are_one_line(
    answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert "--ntasks-per-node=4" in answer("fit", "--config", "digits_sbn")
