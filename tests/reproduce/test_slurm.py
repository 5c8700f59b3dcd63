"""What a cluster is told, and what a job does; the last test needs a SLURM (../shared/tools/start_slurm.sh)."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from fake_grid import FAKE, ONE, TWO, Grid, is_alive, record, wait_for

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce import slurm
from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.grid import chosen
from sbn_lightning.reproduce.slurm import SlurmRun
from sbn_lightning.reproduce.tables import digits_table
from sbn_lightning.run.lock import run_lock
from sbn_lightning.run.records import RunState, run_state

SLURM = ("--cluster", "slurm", "--gpus", 0, "--cpus", 1, "--memory", 0.1, "--time", 10)
FOLDER = "digits/SmallCNN/softmax/seed0"


@pytest.fixture
def job(grid: Grid) -> Iterator[SlurmRun]:
    """A job for one run of a grid; what it does to the signals of this process is undone."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield SlurmRun(str(grid.root), next(iter(digits_table())), str(grid.folder), FAKE)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])


def test_dry_run_prints_the_options_of_one_array(grid: Grid, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("--partition", "gpu", "--account", "a1", "--qos", "low", "--constraint", "h200")
    options = ("--time", "8:30:00", "--gpus", 2, "--cpus", 6, "--memory", 16, "--jobs", 5)
    assert grid("--table", "paper", "--cluster", "slurm", "--dry-run", *names, *options) == 0
    last = " ".join(capsys.readouterr().out.partition("Would run")[2].split())
    for option in (
        "array_parallelism=5", "partition=gpu", "account=a1", "qos=low", "constraint=h200", "time=510",
        "gpus_per_node=2", "cpus_per_task=6", "mem=16384MB", "'requeue': True", "signal_delay_s=90",
    ):  # fmt: skip
        assert option in last
    assert not grid.root.exists()


def test_time_is_minutes_or_what_sbatch_takes() -> None:
    times = ["90", "1:30:00", "48:00:00", "0:02:01", "1-0", "1-02", "2-00:00:30"]
    assert [slurm.minutes(time) for time in times] == [90, 90, 2880, 3, 1440, 1560, 2881]


@pytest.mark.parametrize("text", ["0", "1", "two", "12:00", "0:01:30", "-5", "1-", "1:2:3:4", ""])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--time is .* minutes, hh:mm:ss \(12:00:00"):
        slurm.minutes(text)


def while_it_trains(grid: Grid, act: Callable[[], None]) -> threading.Thread:
    """Do something from another thread once the run of a job has started."""

    def wait_and_act() -> None:
        wait_for(lambda: grid.calls("fit"))
        act()

    grid.behave(wait="softmax")
    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def test_machine_without_slurm_is_told(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="there is no SLURM here"):
        grid(*ONE, *SLURM)


def test_job_trains_and_tests_its_run_and_fails_if_the_run_does(job: SlurmRun, grid: Grid) -> None:
    grid.behave(fail="fit")
    with pytest.raises(UsageError, match="loss is NaN in step 7"):
        job()
    grid.behave(fail="")
    assert pickle.loads(pickle.dumps(job))() == "finished"
    assert [call[:2] for call in grid.calls()] == [["fit", FOLDER], ["fit", FOLDER], ["test", FOLDER]]


def test_job_leaves_a_run_to_the_process_that_has_it(
    job: SlurmRun, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "PATIENCE", 0.0)
    with run_lock(grid.run("softmax")):
        assert job() == "running"
    assert grid.calls() == []


def test_job_that_is_warned_has_its_training_end_and_is_requeued_as_it_was(job: SlurmRun, grid: Grid) -> None:
    requeued = []
    signal.signal(signal.SIGUSR2, lambda *_: requeued.append(job.checkpoint()))  # as submitit does
    thread = while_it_trains(grid, lambda: os.kill(os.getpid(), signal.SIGUSR2))
    assert job() == RunState.STARTED.value
    thread.join()
    assert not is_alive(grid.training())
    grid.behave(wait="")
    assert pickle.loads(pickle.dumps(requeued[0].function))() == "finished"
    assert [call[2:-1] for call in grid.calls("fit")] == [[], ["resumed"]]


def test_job_that_is_ended_without_a_warning_saves_and_waits_to_be_killed_or_warned(job: SlurmRun, grid: Grid) -> None:
    class RequeuedError(Exception):
        """Takes the place of the end of the job."""

    def requeue(*_: object) -> None:
        raise RequeuedError

    def end_and_warn() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: not is_alive(grid.training()))
        time.sleep(0.5)  # the job waits
        os.kill(os.getpid(), signal.SIGUSR2)

    signal.signal(signal.SIGUSR2, requeue)  # as submitit does
    thread = while_it_trains(grid, end_and_warn)
    with pytest.raises(RequeuedError):
        job()
    thread.join()
    assert run_state(grid.run("softmax")) is RunState.STARTED
    assert record(grid.run("softmax"))["arguments"] is not None


def test_training_in_a_job_ignores_the_warning(job: SlurmRun, grid: Grid) -> None:
    def warn() -> None:
        os.kill(grid.training(), signal.SIGUSR2)  # SLURM signals every process of a job
        grid.behave(wait="")

    thread = while_it_trains(grid, warn)
    assert job() == "finished"
    thread.join()


def test_run_whose_job_is_gone_has_failed(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(grid.root, chosen(list(digits_table()), {"seeds": ["0"]}), 4)
    first, second, third, fourth = board.runs
    (grid.root / "slurm").mkdir(parents=True)
    (grid.root / "slurm/1_1_0_log.out").write_text("slurmstepd: CANCELLED\n")
    jobs, gone = {first: "1_0", second: "1_1", third: "1_2"}, set[str]()

    def left(*living: str) -> list[str]:
        monkeypatch.setattr(slurm, "living_jobs", lambda: set(living))
        slurm.look(board, jobs, gone)
        return list(jobs)

    assert left("1_0", "1_1", "1_2") == [first, second, third]
    assert left("1_0", "1_2") == [first, second, third]
    assert left("1_2") == [first, third]
    assert board.states[second] is RunState.FAILED
    assert "SLURM job 1_1 has ended before the run\nslurmstepd: CANCELLED" in board.errors[second]
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nowhere")
    slurm.look(board, jobs, gone)  # SLURM does not answer
    assert list(jobs) == [first, third]
    assert left() == [first, third]
    assert left() == []
    assert board.errors[fourth] == ""


def jobs_of(grid: Grid) -> dict[str, str]:
    """The last job of each run."""
    return json.loads((grid.root / "slurm.json").read_text())


def slurm_is_up() -> bool:
    return bool(shutil.which("sinfo")) and subprocess.run(["sinfo"], capture_output=True, timeout=20).returncode == 0


@pytest.mark.skipif(not slurm_is_up(), reason="no SLURM here")
def test_real_slurm_trains_requeues_and_continues(grid: Grid) -> None:
    both = (*TWO, *SLURM)
    grid.behave(wait="seed0")
    command = grid.start(*both)
    submitted: set[str] = set()
    try:
        for head in ("softmax", "sbn"):
            wait_for((grid.run(head) / "checkpoints/last.ckpt").exists)
        jobs = jobs_of(grid)
        submitted |= set(jobs.values())
        assert sorted(job.partition("_")[2] for job in submitted) == ["0", "1"]  # one array
        assert slurm.living_jobs() >= submitted
        array = jobs[FOLDER].partition("_")[0]
        script = (grid.root / f"slurm/{array}_submission.sh").read_text()
        for option in ("array=0-1%2", "time=10", "cpus-per-task=1", "mem=102MB", "requeue", "signal=USR2@90"):
            assert f"#SBATCH --{option}" in script

        training = next(int(call[-1]) for call in grid.calls("fit") if "softmax" in call[1])
        # A job that ended by itself now would be called completed, and not be requeued where it is preempted.
        subprocess.run(["scancel", "--signal=TERM", jobs[FOLDER]], check=True)
        wait_for(lambda: not is_alive(training))
        time.sleep(2)
        assert jobs[FOLDER] in slurm.living_jobs()
        subprocess.run(["scontrol", "requeue", jobs[FOLDER]], check=True)
        wait_for(lambda: slurm.living_jobs() >= submitted)  # it waits to be started again, in two minutes
        command.send_signal(signal.SIGINT)
        output, _ = command.communicate(timeout=60)
        assert command.returncode == 130
        assert "The jobs go on" in output

        grid.behave(wait="")
        subprocess.run(["scancel", jobs[FOLDER]], check=True)
        wait_for(lambda: jobs[FOLDER] not in slurm.living_jobs())
        assert grid(*both) == 0
        submitted |= set(jobs_of(grid).values())
        assert len(submitted) == 3  # the cancelled one anew, the other not
    finally:
        subprocess.run(["scancel", *submitted], check=False)
    assert [call[2:-1] for call in grid.calls("fit") if "softmax" in call[1]] == [[], ["resumed"]]
    assert [call[2:-1] for call in grid.calls("fit") if "sbn" in call[1]] == [[]]
