"""Where a grid stands: which runs are done, which run, which are left, and how long that may take."""

import csv
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from sbn_lightning.reproduce.grid import Run
from sbn_lightning.reproduce.json_file import BrokenFileError
from sbn_lightning.reproduce.run_folder import RunFolder, State


class Board:
    """What is known of each run of a grid.

    Args:
        root: The grid's folder.
        runs: Those that a command is about.
        jobs: How many train at a time.
    """

    def __init__(self, root: Path, runs: Sequence[Run], jobs: int) -> None:
        self.root, self.jobs = root, jobs
        self.runs = {run.folder: run for run in runs}
        self.folders = {run.folder: RunFolder(root / run.folder) for run in runs}
        self.states: dict[str, State] = {}
        self.errors: dict[str, str] = {}
        self.seconds: dict[str, float] = {}  # of finished runs
        self.started: dict[str, float] = {}  # of running ones
        for folder in self.runs:
            self.look(folder)

    def look(self, folder: str) -> State:
        """Read a run's state from its folder."""
        run = self.folders[folder]
        self.errors.pop(folder, None)
        try:
            state = run.state()
            record = run.record() if state is not State.NEW else {}
            if state is State.FAILED:
                self.errors[folder] = str(record.get("error"))
            if state is State.FINISHED and "seconds" in record:
                self.seconds[folder] = float(record["seconds"])
        except BrokenFileError as error:
            state, self.errors[folder] = State.FAILED, f"{error}; move the run's folder away to train it anew"
        except OSError as error:
            state, self.errors[folder] = State.FAILED, f"{run.path} cannot be read: {error}"
        self.mark(folder, state)
        return state

    def mark(self, folder: str, state: State) -> None:
        """Set a run's state."""
        if state is State.RUNNING:
            self.started.setdefault(folder, time.time())
        else:
            self.started.pop(folder, None)
        self.states[folder] = state

    def fail(self, folder: str, error: str) -> None:
        """A run that failed outside of its own folder's record."""
        self.mark(folder, State.FAILED)
        self.errors[folder] = error

    def having(self, *states: State) -> list[str]:
        """The runs in these states, in the grid's order."""
        return [folder for folder in self.runs if self.states[folder] in states]

    def expected(self, folder: str) -> float | None:
        """Seconds that a run will take, by finished ones: of the same dataset and backbone if there are such."""
        run = self.runs[folder]
        alike = [
            [seconds for other, seconds in self.seconds.items() if same(self.runs[other], run)]
            for same in (
                lambda a, b: (a.dataset, a.backbone) == (b.dataset, b.backbone),
                lambda a, b: a.dataset == b.dataset,
                lambda a, b: True,
            )
        ]
        known = next((seconds for seconds in alike if seconds), None)
        return statistics.mean(known) if known else None

    def time_left(self) -> float | None:
        """Seconds until all are done; None while nothing is known."""
        waiting = self.having(State.NEW, State.BEGUN)
        running = self.having(State.RUNNING)
        estimates = {folder: self.expected(folder) for folder in [*waiting, *running]}
        if not estimates:
            return 0.0
        if any(seconds is None for seconds in estimates.values()):
            return None
        spent = {folder: time.time() - self.started[folder] for folder in running}
        left = [max(0.0, (seconds or 0.0) - spent.get(folder, 0.0)) for folder, seconds in estimates.items()]
        return max(sum(left) / self.jobs, max(left))

    def summary(self) -> str:
        """One line: `3 done, 1 running, 8 left, 0 failed; about 4 min left`."""
        counts = {state: len(self.having(state)) for state in State}
        left = counts[State.NEW] + counts[State.BEGUN]
        done, running, failed = (counts[state] for state in (State.FINISHED, State.RUNNING, State.FAILED))
        text = f"{done} done, {running} running, {left} left, {failed} failed"
        seconds = self.time_left()
        if left + running == 0:
            return text
        return f"{text}; {'time left not known yet' if seconds is None else f'about {duration(seconds)} left'}"

    def details(self, folder: str) -> str:
        """How far a running training is, as its metrics.csv has it: `epoch 3, accuracy 0.9722`."""
        epochs, accuracy = 0, ""
        try:
            with (self.root / folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    value = row.get("test_each_epoch/accuracy") or row.get("val/accuracy")
                    if value:
                        epochs, accuracy = epochs + 1, f", accuracy {float(value):.4f}"
        except (OSError, ValueError, csv.Error):
            return ""
        return f"epoch {epochs}{accuracy}" if epochs else ""


def duration(seconds: float) -> str:
    """45 s, 12 min, 3.5 h or 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
