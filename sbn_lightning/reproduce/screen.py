"""How a grid is shown: as tables that fill while it runs in a terminal, as plain lines elsewhere; and what is said
before and after."""

import contextlib
import shlex
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from sbn_lightning.errors import counted
from sbn_lightning.reproduce.board import LEFT, Board
from sbn_lightning.reproduce.matrix import blocks, drawn, progress
from sbn_lightning.reproduce.runner import TICK, Stop
from sbn_lightning.run import files
from sbn_lightning.run.grid_records import PlannedRun
from sbn_lightning.run.records import RunState
from sbn_lightning.terminal import columns, show

EVERY = 1.0  # seconds between two looks at running trainings
EVERY_LINE = 300.0  # seconds between two plain lines, if nothing else happens
WHILE_RUNNING = "Test accuracy. Of a run at work: its epochs, and the accuracy so far."
AT_THE_END = "Test accuracy after the last epoch; mean and standard deviation over the seeds."
OF_STATES = (RunState.RUNNING, *LEFT, RunState.FAILED, RunState.FINISHED)
"""The order in which runs are shown where there is no room for all."""


def watch(board: Board, steps: Iterable[None], stop: Stop, console: Console | None = None) -> None:
    """Take the steps of a runner until there are no more, and show what changes on the board."""
    console = console or Console(highlight=False)
    shown, due = dict(board.states), 0.0
    is_live = console.is_terminal
    with Live(console=console, auto_refresh=False, transient=True) if is_live else contextlib.nullcontext() as live:
        for _ in steps:
            changed = [folder for folder, state in board.states.items() if shown[folder] is not state]
            if changed or time.monotonic() >= due:
                board.look_at_running()
                shown, due = dict(board.states), time.monotonic() + (EVERY if live else EVERY_LINE)
                if live:
                    live.update(picture(board, stop, *console.size), refresh=True)
                else:
                    at_work = [] if changed else board.having(RunState.RUNNING)
                    lines = [line(board, folder) for folder in [*changed, *at_work]]
                    console.print("\n".join([*lines, summary(board, stop)]), markup=False, soft_wrap=True)
            time.sleep(TICK)


def picture(board: Board, stop: Stop, width: int, height: int) -> RenderableType:
    """Return the tables, as many as fit, with those first whose runs are at work; and the summary."""
    below = [Text(WHILE_RUNNING, "dim"), Text(summary(board, stop))]
    for text in below:
        text.no_wrap, text.overflow = True, "ellipsis"
    room = height - len(below) - 2  # a line says how much is left out, and the cursor has one
    tables: list[RenderableType] = []
    shown: set[str] = set()
    for block in sorted(blocks(board, width), key=lambda block: urgency(board, block.folders)):
        labels = sorted(block.rows, key=lambda label: urgency(board, block.rows[label].values()))
        fitting = labels[: max(0, room - block.height + len(labels))]
        if not fitting or (tables and len(fitting) < len(labels)):
            break
        tables.append(drawn(board, block, is_live=True, labels=fitting))
        shown |= {folder for label in fitting for folder in block.folders_of(label)}
        room -= block.height
    hidden = len(board.runs) - len(shown)
    return Group(*tables, *[Text(f"… and {counted(hidden, 'more run')}", "dim")] * (hidden > 0), *below)


def urgency(board: Board, folders: Iterable[str]) -> int:
    """Return the place of runs in the order in which they are shown, 0 for the first."""
    return min((OF_STATES.index(board.states[folder]) for folder in folders), default=len(OF_STATES))


def line(board: Board, folder: str) -> str:
    """Return a run's state, its name and what it gave: `finished    softmax/seed0  0.9722`."""
    state, accuracy = board.states[folder], board.accuracy(folder)
    what = next(progress(board, folder)) if state is RunState.RUNNING else f"{accuracy:.4f}" if accuracy else ""
    return f"{state.value:<11} {short_name(board, folder)}  {what}".rstrip()


def short_name(board: Board, folder: str) -> str:
    """Return a run's folder without the dataset and the backbone, if all runs have the same."""
    places = {Path(other).parts[:2] for other in board.runs}
    return str(Path(*Path(folder).parts[2:])) if len(places) == 1 else folder


def summary(board: Board, stop: Stop | None = None) -> str:
    """Return one line: `3 done, 1 running, 8 left, 0 failed; about 4 min left`."""
    groups = ((RunState.FINISHED,), (RunState.RUNNING,), LEFT, (RunState.FAILED,))
    done, running, left, failed = (len(board.having(*states)) for states in groups)
    text = f"{done} done, {running} running, {left} left, {failed} failed"
    if stop and stop.number is not None:
        return f"{text}; stopping: the trainings save and end"
    if left + running == 0:
        return text
    seconds = board.time_left()
    if seconds is None:
        return f"{text}; time left not known yet"
    return f"{text}; " + (f"about {duration(seconds)} left" if seconds >= 1 else "about to end")


def duration(seconds: float) -> str:
    """Return 45 s, 12 min, 3.5 h or 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def show_tables(board: Board) -> None:
    """Print all tables as they are now."""
    console = Console(highlight=False, width=columns())
    for block in blocks(board, console.width):
        console.print(drawn(board, block, is_live=False), "")
    if board.having(RunState.FINISHED):
        console.print(AT_THE_END, "", style="dim", sep="\n")


def show_commands(root: Path, runs: Iterable[PlannedRun]) -> None:
    """Print the whole command of each run."""
    for run in runs:
        print(shlex.join(["sbn", "fit", *run.arguments, "--run_dir", str(root / run.folder)]))  # one line, to be copied


def show_plan(board: Board) -> None:
    """Print what a command would do: the tables, why runs have failed, and what is to be expected."""
    show_tables(board)
    show_failures(board)
    show(("Runs", f"{len(board.runs)} in {board.root}/: {summary(board)}"))


def show_failures(board: Board) -> None:
    """Print why runs have failed, with the last lines of their logs."""
    for folder in board.having(RunState.FAILED):
        reason, *lines = board.errors[folder].splitlines() or [""]
        show(("Failed", f"{folder}: {reason}"))
        for text in lines:
            print(f"            {text}")
        show(("", f"the whole log: {board.root / folder / files.LOG}"), ("", ""))


def show_end(board: Board, stop: Stop) -> int:
    """Print what came out and what to do next; return the exit code of the command, which a signal may have ended."""
    print()
    show_tables(board)
    show_failures(board)
    for folder in board.having(RunState.STARTED, RunState.TRAINED) if stop.number is None else []:
        show(("Stopped", f"{folder}: something other than this command asked it to stop (SIGTERM)"))
    show(("Runs", f"{summary(board)}; {duration(board.seconds())} of training and tests"))
    if board.having(*LEFT, RunState.FAILED):
        again = "the same command: it repeats nothing that is finished, and tries again what failed"
        show(("Continue", again))
    if board.having(RunState.FINISHED):
        root = shlex.quote(str(board.root))
        show(("Next", f"{as_called('sbn')} report {root}"))
        show(("", f"{as_called('tensorboard')} --host localhost --logdir {root}"))
    if stop.number is not None:
        return 128 + stop.number
    return 0 if len(board.having(RunState.FINISHED)) == len(board.runs) else 1


def as_called(program: str) -> str:
    """Return how a program of this environment is called in the user's shell: by its name, or else by its path."""
    if shutil.which(program):
        return program
    beside = [Path(sys.argv[0]).with_name(program), Path(sys.executable).with_name(program)]
    return next((shlex.quote(str(path)) for path in beside if path.is_file()), program)
