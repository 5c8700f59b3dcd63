"""What is known of a grid, and how it is shown: which runs are finished, running and waiting, and how long they may
take; as a live table in a terminal, as plain lines elsewhere."""

import shlex
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.run_one import RUNNER_LOCK
from sbn_lightning.run import files
from sbn_lightning.run.lock import is_locked
from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import Attempts, PlannedRun, RunState, read_record, run_state

LEFT = (RunState.NEW, RunState.STARTED, RunState.TRAINED)
WATCHED = ("val/accuracy", "test_each_epoch/accuracy")
SHOWN = 12  # running runs in the live table
EVERY = 1.0  # seconds between two looks at running trainings
EVERY_LINE = 300.0  # seconds between two plain lines, if nothing else happens


class Board:
    """What is known of each run of a grid.

    Args:
        root: The grid's folder.
        runs: The runs that a command is about.
        jobs: How many of them train at a time.
    """

    def __init__(self, root: Path, runs: Sequence[PlannedRun], jobs: int) -> None:
        self.root, self.jobs = root, jobs
        self.runs = {run.folder: run for run in runs}
        self.states: dict[str, RunState] = {}
        self.errors: dict[str, str] = {}
        self.seconds: dict[str, float] = {}  # of finished runs
        self.started: dict[str, float] = {}  # of running ones
        self.attempts: dict[str, int] = {}  # that have ended
        for folder in self.runs:
            self.look(folder)
        self.before = dict(self.attempts)

    def look(self, folder: str) -> RunState:
        """Read a run's state from its folder."""
        path = self.root / folder
        try:
            state = run_state(path)
            attempts = read_record(path / files.RUN, Attempts) or Attempts()
        except (UsageError, OSError) as error:
            self.fail(folder, str(error))
            return RunState.FAILED
        self.mark(folder, state)
        self.attempts[folder] = attempts.attempts
        if state is RunState.FAILED:
            self.errors[folder] = attempts.error or ""
        if state is RunState.FINISHED and attempts.seconds:  # 0 if `sbn fit` was started by hand
            self.seconds[folder] = attempts.seconds
        return state

    def mark(self, folder: str, state: RunState) -> None:
        """Set a run's state."""
        if state is RunState.RUNNING:
            self.started.setdefault(folder, time.time())
        else:
            self.started.pop(folder, None)
        self.errors.pop(folder, None)
        self.states[folder] = state

    def fail(self, folder: str, error: str) -> None:
        """Set a run's state to FAILED, with the reason."""
        self.mark(folder, RunState.FAILED)
        self.errors[folder] = error

    def having(self, *states: RunState) -> list[str]:
        """Return the runs in these states, in the grid's order."""
        return [folder for folder in self.runs if self.states[folder] in states]

    def unfinished(self) -> list[str]:
        """Return the runs that are not finished, in the grid's order."""
        return [folder for folder in self.runs if self.states[folder] is not RunState.FINISHED]

    def has_failed_meanwhile(self, folder: str) -> bool:
        """Whether an attempt at a run has failed since the board was made."""
        return self.states[folder] is RunState.FAILED and self.attempts.get(folder, 0) > self.before.get(folder, 0)

    def is_taken(self, folder: str) -> bool:
        """Whether another process trains, tests or is about to start a run."""
        return is_locked(self.root / folder) or is_locked(self.root / folder, RUNNER_LOCK)

    def is_orphan(self, folder: str) -> bool:
        """Whether a run is trained by a process whose runner is gone."""
        return is_locked(self.root / folder) and not is_locked(self.root / folder, RUNNER_LOCK)

    def expected(self, folder: str) -> float | None:
        """Return how many seconds a run will take, judged by finished ones, of the same dataset and backbone if any."""
        run = self.runs[folder]
        alike: dict[int, list[float]] = {0: [], 1: [], 2: []}
        for other, seconds in self.seconds.items():
            same_dataset = self.runs[other].dataset == run.dataset
            alike[same_dataset + (same_dataset and self.runs[other].backbone == run.backbone)].append(seconds)
        known = alike[2] or [*alike[1], *alike[2]] or alike[0]
        return statistics.mean(known) if known else None

    def time_left(self) -> float | None:
        """Return the number of seconds until all runs are finished; None while nothing is known."""
        waiting = self.having(*LEFT)
        running = self.having(RunState.RUNNING)
        estimates = {folder: self.expected(folder) for folder in [*waiting, *running]}
        if not estimates:
            return 0.0
        if any(seconds is None for seconds in estimates.values()):
            return None
        spent = {folder: time.time() - self.started[folder] for folder in running}
        left = [max(0.0, (seconds or 0.0) - spent.get(folder, 0.0)) for folder, seconds in estimates.items()]
        return max(sum(left) / self.jobs, max(left))

    def summary(self) -> str:
        """Return one line: `3 done, 1 running, 8 left, 0 failed; about 4 min left`."""
        finished, running, failed = (
            len(self.having(state)) for state in (RunState.FINISHED, RunState.RUNNING, RunState.FAILED)
        )
        left = len(self.having(*LEFT))
        text = f"{finished} done, {running} running, {left} left, {failed} failed"
        seconds = self.time_left()
        if left + running == 0:
            return text
        return f"{text}; {'time left not known yet' if seconds is None else f'about {duration(seconds)} left'}"

    def details(self, folder: str) -> str:
        """Return how far a running training is: `epoch 3, accuracy 0.9722`; an empty text if nothing is known yet."""
        try:
            rows = read_metrics(self.root / folder)
        except UsageError:
            return ""
        accuracies = [row[tag] for row in rows.values() for tag in WATCHED if tag in row]
        return f"epoch {len(accuracies)}, accuracy {accuracies[-1]:.4f}" if accuracies else ""

    def listing(self) -> str:
        """Return a line for each run, with its state and its options, and what is to be expected."""
        lines = []
        for folder, run in self.runs.items():
            lines.append(f"{self.states[folder].value:<11} {folder}  sbn fit {shlex.join(run.arguments)}")
            lines += [f"            {line}" for line in self.errors.get(folder, "").splitlines()]
        return "\n".join([*lines, f"{len(self.runs)} runs in {self.root}/: {self.summary()}"])

    def ending(self, number: int | None) -> int:
        """Say what came out and what to do next.

        Args:
            number: The signal that ended the command, or None.

        Returns:
            The exit code of the command.
        """
        for folder in self.having(RunState.FAILED):
            error = self.errors.get(folder, "").replace("\n", "\n    ")
            print(f"\nFAILED {folder}: {error}\n    the whole log: {self.root / folder / files.LOG}")
        if number is None:
            for folder in self.having(RunState.STARTED, RunState.TRAINED):
                print(f"\nSTOPPED {folder}: something other than this command asked it to stop (SIGTERM)")
        is_incomplete = bool(self.having(*LEFT, RunState.FAILED))
        print(f"\n{self.summary()}; {duration(sum(self.seconds.values()))} of training and tests in all")
        if is_incomplete:
            print("The same command continues: it repeats nothing that is finished, and tries again what failed.")
        print(f"Tables and figures of what is finished: sbn report {self.root}", flush=True)
        if number is not None:
            return 128 + number
        return 1 if is_incomplete or self.having(RunState.RUNNING) else 0


class Progress:
    """Context manager that shows a board; call it as often as you like."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.console = Console(highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.shown: dict[str, RunState] = dict(board.states)
        self.last = 0.0

    def __enter__(self) -> "Progress":
        if self.live:
            self.live.start()
        self()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live:
            self.live.update(Text(self.board.summary()), refresh=True)
            self.live.stop()

    def __call__(self) -> None:
        """Show what has changed."""
        changed = {folder: state for folder, state in self.board.states.items() if self.shown.get(folder) is not state}
        self.shown = dict(self.board.states)
        now = time.monotonic()
        if self.live:
            if changed or now - self.last > EVERY:
                self.last = now
                self.live.update(Group(*map(Text, self.lines())), refresh=True)
        elif changed or now - self.last > EVERY_LINE:
            self.last = now
            for folder, state in changed.items():
                self.console.print(f"{state.value:<11} {folder}", markup=False)
            self.console.print(self.board.summary(), markup=False)

    def lines(self) -> list[str]:
        """Return the running runs, then the summary."""
        running = self.board.having(RunState.RUNNING)
        lines = []
        for folder in running[:SHOWN]:
            spent = duration(time.time() - self.board.started[folder])
            lines.append(f"  {folder}  {spent}  {self.board.details(folder)}".rstrip())
        if len(running) > SHOWN:
            lines.append(f"  and {len(running) - SHOWN} more")
        return [*lines, self.board.summary()]


def duration(seconds: float) -> str:
    """Return 45 s, 12 min, 3.5 h or 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
