"""Which run is started when, and what becomes of it; another program takes the place of the trainings."""

import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from fake_grid import FAKE, ONE, TWO, Grid, is_alive, record, wait_for

from sbn_lightning.errors import LockedError
from sbn_lightning.reproduce import runner
from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.runner import Stop, finish, run_grid
from sbn_lightning.reproduce.tables import digits_table
from sbn_lightning.run.grid_records import PlannedRun
from sbn_lightning.run.records import RunState, run_state


def wait_for_line(process: "subprocess.Popen[str]", text: str) -> None:
    end = threading.Timer(60, process.kill)  # so that a text which never comes does not block
    end.start()
    found = any(text in line for line in process.stdout or ())
    end.cancel()
    assert found, f"it did not say {text!r}"


def test_all_runs_are_trained_and_tested_once(grid: Grid, capfd: pytest.CaptureFixture[str]) -> None:
    assert grid("--jobs", 3) == 0
    assert len(grid.calls("prepare")) == 1
    runs = {run.folder for run in digits_table()}
    for command in ("fit", "test"):
        assert sorted(run for _, run, *_ in grid.calls(command)) == sorted(runs)
    assert {run_state(grid.root / run) for run in runs} == {RunState.FINISHED}
    assert {run["folder"] for run in json.loads((grid.root / "grid.json").read_text())["runs"]} == runs
    text = capfd.readouterr().out
    assert "12 done, 0 running, 0 left, 0 failed" in text
    assert f"sbn report {grid.root.relative_to(grid.folder)}\n" in text
    assert text.count("12 done, 0 running, 0 left, 0 failed; ") == 1
    assert len(re.findall(r"(1\.0000 +){3}1\.0000 ± 0\.0000", text)) == 4


def test_what_is_finished_is_not_repeated(grid: Grid) -> None:
    grid(*ONE)
    before = grid.calls()
    assert grid(*ONE) == 0
    assert grid.calls() == before
    assert grid(*TWO) == 0
    assert [run for _, run, *_ in grid.calls("fit")] == [f"digits/SmallCNN/{head}/seed0" for head in ("softmax", "sbn")]


@pytest.mark.parametrize("other", ["best.ckpt", "mylast.ckpt", None])
def test_run_whose_last_checkpoint_is_not_tested_is_only_tested(other: str | None, grid: Grid) -> None:
    grid(*ONE)
    results = grid.run("softmax") / "results.json"
    tested = json.loads(results.read_text())["evaluations"]["test"]
    evaluations = {"test": tested | {"checkpoint": other}} if other else {}
    results.write_text(json.dumps(json.loads(results.read_text()) | {"evaluations": evaluations}))
    assert run_state(grid.run("softmax")) is RunState.TRAINED
    assert grid(*ONE) == 0
    assert (len(grid.calls("fit")), len(grid.calls("test"))) == (1, 2)


def test_failed_run_is_reported_with_its_last_lines_while_others_go_on(
    grid: Grid, capfd: pytest.CaptureFixture[str]
) -> None:
    grid.behave(fail="softmax/seed0")
    assert grid(*TWO) == 1
    text = capfd.readouterr().out
    assert "1 done, 0 running, 0 left, 1 failed" in text
    assert "Failed      digits/SmallCNN/softmax/seed0: sbn fit ended with exit code 1" in text
    assert "loss is NaN in step 7" in text
    assert run_state(grid.run("softmax")) is RunState.FAILED
    assert "loss is NaN in step 7" in record(grid.run("softmax"))["error"]
    assert run_state(grid.run("sbn")) is RunState.FINISHED
    assert grid(*ONE, "--dry-run") == 0
    assert "loss is NaN in step 7" in capfd.readouterr().out

    grid.behave(fail="")
    assert grid(*TWO) == 0
    again = record(grid.run("softmax"))
    assert (again["attempts"], again["error"]) == (2, None)
    assert grid.calls("fit")[-1][2] == "resumed"


def test_time_of_a_failed_run_counts(run: PlannedRun, grid: Grid) -> None:
    grid.behave(fail="fit")
    board = Board(grid.root, [run], jobs=1)
    for _ in run_grid([{}], board, Stop()):
        time.sleep(0.02)
    assert board.states[run.folder] is RunState.FAILED
    assert board.seconds() == record(grid.run("softmax"))["seconds"] > 0


def test_training_that_leaves_epochs_out_has_failed(grid: Grid, capfd: pytest.CaptureFixture[str]) -> None:
    grid.behave(short="softmax")
    assert grid(*ONE) == 1
    assert "ended before its last epoch" in " ".join(capfd.readouterr().out.split())


def test_test_of_a_part_of_the_images_says_what_to_omit(grid: Grid, capfd: pytest.CaptureFixture[str]) -> None:
    grid.behave(part="softmax")
    assert grid(*ONE) == 1
    assert "sbn test saw only a part of the test set" in " ".join(capfd.readouterr().out.split())


def test_killed_run_continues_from_its_checkpoint(grid: Grid) -> None:
    runner = grid.waiting(*ONE)
    os.kill(grid.training(), signal.SIGKILL)
    assert runner.wait(60) == 1
    error = record(grid.run("softmax"))["error"]
    assert "sbn fit was killed (SIGKILL): the machine may have run out of memory" in error
    grid.behave(wait="")
    assert grid(*ONE) == 0
    assert [call[2:-1] for call in grid.calls("fit")] == [[], ["resumed"]]


def test_killed_runner_leaves_its_run_alive_and_it_is_not_doubled(grid: Grid) -> None:
    runner = grid.waiting(*TWO)
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait(60)
    second = grid.start(*TWO)
    wait_for_line(second, "Waiting for 1 run")
    with pytest.raises(AssertionError):  # its only slot is taken by the training that goes on
        wait_for(lambda: len(grid.calls("fit")) > 1, 0.5)
    grid.behave(wait="")
    assert second.wait(60) == 0
    both = ["digits/SmallCNN/sbn/seed0", "digits/SmallCNN/softmax/seed0"]
    for command in ("fit", "test"):
        assert sorted(run for _, run, *_ in grid.calls(command)) == both


def test_killed_runner_whose_training_did_not_hold_the_lock_yet(grid: Grid) -> None:
    grid.behave(late="fit")
    runner = grid.start(*ONE)
    wait_for(lambda: (grid.run("softmax") / "run.log").exists())
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait(60)
    grid.behave(late="", wait="fit")
    second = grid.start(*ONE)  # both trainings ask for the lock
    wait_for(lambda: grid.calls("fit"))
    grid.behave(wait="")
    assert second.wait(60) == 0
    assert len(grid.calls("fit")) <= 2
    assert all(call[2] == "resumed" for call in grid.calls("fit")[1:] if len(call) > 3)
    assert len(grid.calls("test")) == 1


def test_run_of_somebody_else_is_waited_for(grid: Grid) -> None:
    """`sbn fit --auto_resume true` and `sbn reproduce` in one folder."""
    runner = grid.waiting(*ONE)
    another = subprocess.run([*FAKE, "fit", "--auto_resume", "true", "--run_dir", grid.run("softmax")])
    assert another.returncode == 75
    grid.behave(wait="")
    assert runner.wait(60) == 0
    assert len(grid.calls("fit")) == len(grid.calls("test")) == 1


def test_two_runners_share_a_grid(grid: Grid) -> None:
    runners = [grid.start("--seeds", 0, 1) for _ in range(2)]
    outputs = [runner.communicate(timeout=120)[0] for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], outputs
    for command in ("fit", "test"):
        calls = [run for _, run, *_ in grid.calls(command)]
        assert len(calls) == len(set(calls)) == 8
    assert all("8 done, 0 running, 0 left, 0 failed" in output for output in outputs)


def test_run_that_fails_is_not_tried_by_both_of_two_runners(grid: Grid) -> None:
    grid.behave(fail="fit")
    runners = [grid.waiting(*TWO)]
    runners.append(grid.start(*TWO))
    wait_for_line(runners[1], "Waiting for 1 run")
    grid.behave(wait="")
    outputs = [runner.communicate(timeout=60)[0] for runner in runners]
    assert [runner.returncode for runner in runners] == [1, 1], outputs
    assert len(grid.calls("fit")) == 2
    assert all("0 done, 0 running, 0 left, 2 failed" in output for output in outputs)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 128 + signal.SIGHUP)]
)
def test_runner_passes_a_signal_on_and_nothing_is_lost(number: int, code: int, grid: Grid) -> None:
    runner = grid.waiting(*TWO)
    runner.send_signal(number)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == code, output
    assert "0 done, 0 running, 2 left, 0 failed" in output
    assert not is_alive(grid.training())
    assert run_state(grid.run("softmax")) is RunState.STARTED
    grid.behave(wait="")
    assert grid(*TWO) == 0


def test_nohup_keeps_a_runner_and_its_trainings_alive(grid: Grid) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    runner = grid.waiting(*ONE)
    signal.signal(signal.SIGHUP, before)
    runner.send_signal(signal.SIGHUP)
    grid.behave(wait="")
    assert runner.wait(60) == 0


def test_run_that_was_ended_from_outside_is_named(grid: Grid) -> None:
    runner = grid.waiting(*ONE)
    os.kill(grid.training(), signal.SIGTERM)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert "Stopped     digits/SmallCNN/softmax/seed0" in output


@pytest.fixture
def run() -> PlannedRun:
    return next(iter(digits_table()))


def test_second_runner_cannot_take_a_run(run: PlannedRun, grid: Grid) -> None:
    work = finish(grid.root, run, {}, Stop())
    next(work)
    with pytest.raises(LockedError):
        next(finish(grid.root, run, {}, Stop()))
    list(work)
    assert list(finish(grid.root, run, {}, Stop())) == []
    assert len(grid.calls()) == 2


def test_signal_before_the_training_ends_it_at_once(run: PlannedRun, grid: Grid) -> None:
    grid.behave(late="fit")
    stop = Stop()
    work = finish(grid.root, run, {}, stop)
    next(work)
    stop(signal.SIGTERM)
    list(work)  # it had no handlers yet, and nothing to save
    assert grid.calls() == []
    assert record(grid.run("softmax"))["arguments"] is None  # so other options may be given
    assert list(finish(grid.root, run, {}, stop)) == []


def test_process_that_does_not_stop_is_killed_after_a_while(
    run: PlannedRun, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GRACE", 0.2)
    grid.behave(ignore="softmax")
    stop = Stop()
    work = finish(grid.root, run, {}, stop)
    wait_for(lambda: next(work) or grid.calls("fit"))
    stop(signal.SIGTERM)
    list(work)
    assert run_state(grid.run("softmax")) is RunState.STARTED
    assert not is_alive(grid.training())


def test_processes_see_their_slot_and_no_slurm_job(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    start = subprocess.Popen

    def noted(command: list[str], **options: object) -> object:
        seen.append(options.get("env") or {})
        return start(command, **options)  # type: ignore[call-overload]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setattr(subprocess, "Popen", noted)
    assert grid(*TWO) == 0
    assert {environment["CUDA_VISIBLE_DEVICES"] for environment in seen if environment} == {"3", "5"}
    assert not any("SLURM_NTASKS" in environment for environment in seen)
