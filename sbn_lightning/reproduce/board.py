"""What is known of a grid, and how it is shown: as a live table in a terminal, as plain lines elsewhere."""

import contextlib
import shlex
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.grid import note, notes
from sbn_lightning.run import files
from sbn_lightning.run.grid_records import PlannedRun
from sbn_lightning.run.lock import is_locked
from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import RunState, run_state

LEFT = (RunState.NEW, RunState.STARTED, RunState.TRAINED)
WATCHED = ("val/accuracy", "test_each_epoch/accuracy")
SHOWN = 12  # running runs in the live table
TICK = 0.05  # seconds between two looks at the processes
EVERY = 1.0  # seconds between two looks at running trainings
EVERY_LINE = 300.0  # seconds between two plain lines, if nothing else happens


class Board:
    """What is known of those runs of a grid that a command is about; `jobs` of them train at a time."""

    def __init__(self, root: Path, runs: Sequence[PlannedRun], jobs: int) -> None:
        self.root, self.jobs = root, jobs
        self.runs = {run.folder: run for run in runs}
        self.states: dict[str, RunState] = {}
        self.errors: dict[str, str] = {}
        self.seconds: dict[str, float] = {}  # that each run took so far; 0 if `sbn fit` was started by hand
        self.started: dict[str, float] = {}  # when running ones were seen first
        for folder in self.runs:
            self.look(folder)

    def look(self, folder: str) -> RunState:
        """Read a run's state from its folder."""
        path = self.root / folder
        known = notes(path)
        self.seconds[folder] = known.seconds
        try:
            state = RunState.RUNNING if is_locked(path, files.RUNNER_LOCK) else run_state(path)
            self.mark(folder, state, known.error or "")
        except (UsageError, OSError) as broken:
            self.mark(folder, RunState.FAILED, str(broken))
        return self.states[folder]

    def mark(self, folder: str, state: RunState, error: str = "") -> None:
        """Set a run's state; if it has failed, with the reason."""
        self.states[folder], self.errors[folder] = state, error
        if state is RunState.RUNNING:
            self.started.setdefault(folder, time.time())
        else:
            self.started.pop(folder, None)

    def retry(self) -> None:
        """Forget why runs have failed, so that they are tried again."""
        for folder in self.having(RunState.FAILED):
            note(self.root / folder, error=None)
            self.look(folder)

    def having(self, *states: RunState) -> list[str]:
        """Return the runs in these states, in the grid's order."""
        return [folder for folder in self.runs if self.states[folder] in states]

    def expected(self, folder: str) -> float | None:
        """Return how many seconds a run will take, judged by finished ones, of the same dataset and backbone if any."""
        run = self.runs[folder]
        finished = [self.runs[other] for other in self.having(RunState.FINISHED) if self.seconds[other]]
        same_data = [other for other in finished if other.dataset == run.dataset]
        same_net = [other for other in same_data if other.backbone == run.backbone]
        alike = same_net or same_data or finished
        return statistics.mean(self.seconds[other.folder] for other in alike) if alike else None

    def time_left(self) -> float | None:
        """Return the number of seconds until all runs are finished; None while nothing is known."""
        now, left = time.time(), []
        for folder in self.having(*LEFT, RunState.RUNNING):
            if (seconds := self.expected(folder)) is None:
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

    def table(self) -> str:
        """Return the first running runs, then the summary."""
        lines = [
            f"  {folder}  {duration(time.time() - self.started[folder])}  {self.details(folder)}".rstrip()
            for folder in self.having(RunState.RUNNING)[:SHOWN]
        ]
        return "\n".join([*lines, self.summary()])

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
        spent = sum(self.seconds[folder] for folder in self.having(RunState.FINISHED))
        print(f"\n{self.summary()}; {duration(spent)} of training and tests in all")
        if self.having(*LEFT, RunState.FAILED):
            print("The same command continues: it repeats nothing that is finished, and tries again what failed.")
        print(f"Tables and figures of what is finished: sbn report {self.root}", flush=True)
        if number is not None:
            return 128 + number
        return 0 if len(self.having(RunState.FINISHED)) == len(self.runs) else 1


def watch(board: Board, steps: Iterable[None], console: Console | None = None) -> None:
    """Take the steps of a runner until there are no more, and show what changes on the board."""
    console = console or Console(highlight=False, soft_wrap=True)
    shown, due = dict(board.states), 0.0
    with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as live:
        for _ in steps:
            changed = [folder for folder, state in board.states.items() if shown[folder] is not state]
            if changed or time.monotonic() >= due:
                shown, due = dict(board.states), time.monotonic() + (EVERY if live else EVERY_LINE)
                if live:
                    live.update(Text(board.table()), refresh=True)
                else:
                    lines = [f"{board.states[folder].value:<11} {folder}" for folder in changed]
                    console.print("\n".join([*lines, board.summary()]), markup=False)
            time.sleep(TICK)
        if live:
            live.update(Text(board.summary()), refresh=True)


def duration(seconds: float) -> str:
    """Return 45 s, 12 min, 3.5 h or 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
