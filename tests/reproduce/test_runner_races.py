"""Signals and deaths at the worst moment; the trainings are stand-ins."""

import fcntl
import os
import signal
import subprocess
from pathlib import Path

import pytest
from fake_grid import FAKE, Grid, wait_for

from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.grid import chosen
from sbn_lightning.reproduce.local import LocalRunner
from sbn_lightning.reproduce.plan import store_runs
from sbn_lightning.reproduce.run_folder import RunFolder, State
from sbn_lightning.reproduce.tables import digits_table

ONE = ("--seeds", 0, "--heads", "softmax")


@pytest.fixture
def runner(grid: Grid) -> LocalRunner:
    """Two places for the four runs of one seed."""
    runs = chosen(list(digits_table()), {"seeds": ["0"]})
    store_runs(grid.root, runs)
    return LocalRunner(Board(grid.root, runs, 2), [{}, {}], FAKE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_a_run_is_started_reaches_it_and_starts_no_other(
    number: int, runner: LocalRunner, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = runner._supervisor, []

    def signalled(folder: str, place: dict[str, str]) -> "subprocess.Popen[str]":
        started.append(start(folder, place))
        runner._stop(number, None)  # the process is not known to the runner yet
        return started[-1]

    monkeypatch.setattr(runner, "_supervisor", signalled)
    assert runner() == number
    assert [process.returncode for process in started] == [-number]  # it had no handlers yet, and nothing to save
    assert grid.calls() == []
    assert set(runner.board.states.values()) == {State.NEW}  # none has failed


def test_training_whose_supervisor_was_killed_keeps_its_place(
    runner: LocalRunner, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid.behave(wait="seed0")
    started: list[tuple[int, str]] = []
    start = runner._supervisor

    def noted(folder: str, place: dict[str, str]) -> "subprocess.Popen[str]":
        started.append((runner.places.index(place), folder))
        return start(folder, place)

    runner.places = [{"PLACE": "0"}, {"PLACE": "1"}]
    monkeypatch.setattr(runner, "_supervisor", noted)
    runner._start()
    wait_for(lambda: len(grid.calls("fit")) == 2)
    os.kill(runner.processes[0][1].pid, signal.SIGKILL)
    wait_for(lambda: (runner._collect(), len(runner.processes) == 1)[1])
    runner._start()
    assert [place for place, _ in started] == [0, 1]  # the first place is taken still
    grid.behave(wait="")
    assert runner() is None
    assert set(runner.board.states.values()) == {State.FINISHED}


def test_run_that_was_ended_from_outside_is_named(grid: Grid) -> None:
    grid.behave(wait="softmax")
    runner = grid.start(*ONE)
    wait_for((grid.run("softmax") / "config.yaml").exists)
    os.kill(int(grid.calls("fit")[0][-1]), signal.SIGTERM)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert "STOPPED digits/SmallCNN/softmax/seed0" in output


def test_two_who_ask_for_a_lock_do_not_see_each_other(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    descriptor = run.lock()
    assert descriptor is not None
    assert run.locked()
    os.close(descriptor)
    asking = os.open(run.path / "run.lock", os.O_RDWR)
    fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert not run.locked()
    os.close(asking)
