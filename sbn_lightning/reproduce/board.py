"""What is known of a grid, and how it is shown: as a live table in a terminal, as plain lines elsewhere."""

import shlex
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sbn_lightning.errors import UsageError
from sbn_lightning.run import files
from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import Attempts, PlannedRun, RunState, read_record, run_state

LEFT = (RunState.NEW, RunState.STARTED, RunState.TRAINED)
WATCHED = ("val/accuracy", "test_each_epoch/accuracy")
SHOWN = 12  # running runs in the live table
EVERY = 1.0  # seconds between two looks at running trainings
EVERY_LINE = 300.0  # seconds between two plain lines, if nothing else happens


class Board:
    """What is known of those runs of a grid that a command is about; `jobs` of them train at a time."""

    def __init__(self, root: Path, runs: Sequence[PlannedRun], jobs: int) -> None:
        self.root, self.jobs = root, jobs
        self.runs = {run.folder: run for run in runs}
        self.states: dict[str, RunState] = {}
        self.errors: dict[str, str] = {}
        self.attempts: dict[str, Attempts] = {}
        self.started: dict[str, float] = {}  # when running ones were seen first
        self.retried: dict[str, Attempts] = {}  # those of runs that had failed before
        for folder in self.runs:
            self.look(folder)

    def look(self, folder: str) -> RunState:
        """Read a run's state from its folder."""
        path = self.root / folder
        attempts, error = Attempts(), ""
        try:
            state, attempts = run_state(path), read_record(path / files.RUN, Attempts) or attempts
            error = attempts.error or ""
        except (UsageError, OSError) as broken:
            state, error = RunState.FAILED, str(broken)
        self.attempts[folder] = attempts
        if state is RunState.FAILED and self.retried.get(folder) == attempts:
            state = RunState.STARTED
        self.mark(folder, state, error)
        return state

    def mark(self, folder: str, state: RunState, error: str = "") -> None:
        """Set a run's state; if it has failed, with the reason."""
        self.states[folder], self.errors[folder] = state, error
        if state is RunState.RUNNING:
            self.started.setdefault(folder, time.time())
        else:
            self.started.pop(folder, None)

    def retry(self) -> None:
        """From now on, a failed run counts as unfinished until it fails again."""
        for folder in self.having(RunState.FAILED):
            self.retried[folder] = self.attempts[folder]
            self.mark(folder, RunState.STARTED)

    def having(self, *states: RunState) -> list[str]:
        """Return the runs in these states, in the grid's order."""
        return [folder for folder in self.runs if self.states[folder] in states]

    def seconds(self) -> dict[str, float]:
        """Return how long each finished run took, as far as it is known: not if `sbn fit` was started by hand."""
        known = {folder: self.attempts[folder].seconds for folder in self.having(RunState.FINISHED)}
        return {folder: seconds for folder, seconds in known.items() if seconds}

    def expected(self, folder: str) -> float | None:
        """Return how many seconds a run will take, judged by finished ones, of the same dataset and backbone if any."""
        run = self.runs[folder]
        alike: dict[tuple[bool, bool], list[float]] = {}
        for other, seconds in self.seconds().items():
            is_same_data = self.runs[other].dataset == run.dataset
            is_same_net = is_same_data and self.runs[other].backbone == run.backbone
            alike.setdefault((is_same_data, is_same_net), []).append(seconds)
        return statistics.mean(alike[max(alike)]) if alike else None

    def time_left(self) -> float | None:
        """Return the number of seconds until all runs are finished; None while nothing is known."""
        now, left = time.time(), []
        for folder in self.having(*LEFT, RunState.RUNNING):
            seconds = self.expected(folder)
            if seconds is None:
                return None
            left.append(max(0.0, seconds - (now - self.started.get(folder, now))))
        return max(sum(left) / self.jobs, max(left)) if left else 0.0

    def summary(self) -> str:
        """Return one line: `3 done, 1 running, 8 left, 0 failed; about 4 min left`."""
        groups = ((RunState.FINISHED,), (RunState.RUNNING,), LEFT, (RunState.FAILED,))
        done, running, left, failed = (len(self.having(*states)) for states in groups)
        text = f"{done} done, {running} running, {left} left, {failed} failed"
        if left + running == 0:
            return text
        seconds = self.time_left()
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
            lines += [f"            {line}" for line in self.errors[folder].splitlines()]
        return "\n".join([*lines, f"{len(self.runs)} runs in {self.root}/: {self.summary()}"])

    def ending(self, number: int | None) -> int:
        """Say what came out and what to do next; return the exit code of the command, which a signal may have ended."""
        for folder in self.having(RunState.FAILED):
            error = self.errors[folder].replace("\n", "\n    ")
            print(f"\nFAILED {folder}: {error}\n    the whole log: {self.root / folder / files.LOG}")
        for folder in self.having(RunState.STARTED, RunState.TRAINED) if number is None else []:
            print(f"\nSTOPPED {folder}: something other than this command asked it to stop (SIGTERM)")
        print(f"\n{self.summary()}; {duration(sum(self.seconds().values()))} of training and tests in all")
        if is_incomplete := bool(self.having(*LEFT, RunState.FAILED)):
            print("The same command continues: it repeats nothing that is finished, and tries again what failed.")
        print(f"Tables and figures of what is finished: sbn report {self.root}", flush=True)
        if number is not None:
            return 128 + number
        return 1 if is_incomplete or self.having(RunState.RUNNING) else 0


class Progress:
    """Context manager that shows a board; call it as often as you like."""

    def __init__(self, board: Board, console: Console | None = None) -> None:
        self.board = board
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.shown = dict(board.states)
        self.due = 0.0

    def __enter__(self) -> "Progress":
        if self.live:
            self.live.start()
        self()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.update(Text(self.board.summary()), refresh=True)
            self.live.stop()

    def __call__(self) -> None:
        """Show what has changed."""
        changed = [folder for folder, state in self.board.states.items() if self.shown[folder] is not state]
        if not changed and time.monotonic() < self.due:
            return
        self.shown = dict(self.board.states)
        self.due = time.monotonic() + (EVERY if self.live else EVERY_LINE)
        if self.live:
            self.live.update(Group(*map(Text, self.lines())), refresh=True)
            return
        lines = [f"{self.board.states[folder].value:<11} {folder}" for folder in changed]
        self.console.print("\n".join([*lines, self.board.summary()]), markup=False)

    def lines(self) -> list[str]:
        """Return the running runs, then the summary."""
        running = self.board.having(RunState.RUNNING)
        lines = []
        for folder in running[:SHOWN]:
            spent = duration(time.time() - self.board.started[folder])
            lines.append(f"  {folder}  {spent}  {self.board.details(folder)}".rstrip())
        more = [f"  and {len(running) - SHOWN} more"] if len(running) > SHOWN else []
        return [*lines, *more, self.board.summary()]


def duration(seconds: float) -> str:
    """Return 45 s, 12 min, 3.5 h or 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
