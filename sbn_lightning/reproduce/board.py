"""What is known of a grid while it runs: how far each run is, what it gave, and how long the rest may take."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.grid import note, notes
from sbn_lightning.reproduce.running import Running
from sbn_lightning.run import files
from sbn_lightning.run.grid_records import PlannedRun
from sbn_lightning.run.lock import is_locked
from sbn_lightning.run.records import Attempts, Results, RunState, read_results, run_state

LEFT = (RunState.NEW, RunState.STARTED, RunState.TRAINED)


class Board:
    """What is known of those runs of a grid that a command is about; `jobs` of them train at a time."""

    def __init__(self, root: Path, runs: Sequence[PlannedRun], jobs: int) -> None:
        self.root, self.jobs = root, jobs
        self.runs = {run.folder: run for run in runs}
        self.states: dict[str, RunState] = {}
        self.errors: dict[str, str] = {}
        self.notes: dict[str, Attempts] = {}  # empty if `sbn fit` was started by hand
        self.results: dict[str, Results] = {}
        self.running: dict[str, Running] = {}
        for folder in self.runs:
            self.look(folder)

    def look(self, folder: str) -> RunState:
        """Read a run's state from its folder."""
        path = self.root / folder
        self.notes[folder] = notes(path)
        try:
            state = RunState.RUNNING if is_locked(path, files.RUNNER_LOCK) else run_state(path)
            self.results[folder] = read_results(path)
            self.mark(folder, state, self.notes[folder].error or "")
        except (UsageError, OSError) as broken:
            self.results[folder] = Results()
            self.mark(folder, RunState.FAILED, str(broken))
        return self.states[folder]

    def mark(self, folder: str, state: RunState, error: str = "") -> None:
        """Set a run's state; if it has failed, with the reason."""
        self.states[folder], self.errors[folder] = state, error
        if state is RunState.RUNNING:
            self.running.setdefault(folder, Running(time.time()))
        else:
            self.running.pop(folder, None)

    def look_at_running(self) -> None:
        """Read how far all running runs are."""
        for folder, running in self.running.items():
            running.look(self.root / folder)

    def retry(self) -> None:
        """Forget why runs have failed, so that they are tried again."""
        for folder in self.having(RunState.FAILED):
            note(self.root / folder, error=None)
            self.look(folder)

    def having(self, *states: RunState) -> list[str]:
        """Return the runs in these states, in the grid's order."""
        return [folder for folder in self.runs if self.states[folder] in states]

    def accuracy(self, folder: str) -> float | None:
        """Return the test accuracy of a finished run, in [0, 1]; None of any other."""
        test = self.results[folder].test
        return test.correct / test.images if test and self.states[folder] is RunState.FINISHED else None

    def seconds(self) -> float:
        """Return how long all runs took together so far, in seconds."""
        return sum(notes.seconds for notes in self.notes.values())

    def alike(self, folder: str) -> list[Attempts]:
        """Return the notes on finished runs: of the same dataset and backbone if there are any, else of the same
        dataset, else of all."""
        run = self.runs[folder]
        finished = [other for other in self.having(RunState.FINISHED) if self.notes[other].seconds]
        same_data = [other for other in finished if self.runs[other].dataset == run.dataset]
        same_net = [other for other in same_data if self.runs[other].backbone == run.backbone]
        return [self.notes[other] for other in same_net or same_data or finished]

    def time_left(self) -> float | None:
        """Return the number of seconds until all runs are finished; None while nothing is known."""
        now, left = time.time(), []
        for folder in self.having(*LEFT, RunState.RUNNING):
            if (seconds := self.time_left_of(folder, now)) is None:
                return None
            left.append(seconds)
        return max(sum(left) / self.jobs, max(left)) if left else 0.0

    def time_left_of(self, folder: str, now: float) -> float | None:
        """Return the number of seconds until a run is finished, judged by finished ones, and by its own pace."""
        alike, running = self.alike(folder), self.running.get(folder)
        tests = [notes.test_seconds for notes in alike if notes.test_seconds is not None]
        test = statistics.mean(tests) if tests else None
        whole = statistics.mean(notes.seconds for notes in alike) if alike else self.by_pace(now)
        rest = None if whole is None else whole - self.notes[folder].seconds
        if running and running.trained and (test is not None or whole is None):
            return None if test is None else max(0.0, test - (now - running.trained))
        if running:
            training = running.training_left(now)
            rest = training + (test or 0.0) if training is not None else rest and rest - (now - running.since)
        return None if rest is None else max(rest, test or 0.0)

    def by_pace(self, now: float) -> float | None:
        """Return how many seconds a training takes by the pace of those that are running; None while it is unknown."""
        paces = [(running, running.training_left(now)) for running in self.running.values()]
        known = [now - running.since + left for running, left in paces if left is not None]
        return statistics.mean(known) if known else None
