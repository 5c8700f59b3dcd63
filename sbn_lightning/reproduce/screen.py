"""How a grid is shown while it runs: as tables that fill in a terminal, as plain lines elsewhere."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from sbn_lightning.errors import counted
from sbn_lightning.reproduce.board import LEFT, Board
from sbn_lightning.reproduce.matrix import blocks, drawn, progress
from sbn_lightning.reproduce.runner import TICK, Stop
from sbn_lightning.run.records import RunState
from sbn_lightning.terminal import duration

EVERY = 1.0  # seconds between two looks at running trainings
EVERY_LINE = 300.0  # seconds between two plain lines, if nothing else happens
PATIENCE = 1.0  # seconds from a change to its plain line: after the end of a run, another one starts
WHILE_RUNNING = "Test accuracy. A run at work shows its epochs and its accuracy so far."
OF_STATES = (RunState.RUNNING, *LEFT, RunState.FAILED, RunState.FINISHED)
"""The order in which runs are shown where there is no room for all."""


def watch(board: Board, steps: Iterable[None], stop: Stop, console: Console | None = None) -> None:
    """Take the steps of a runner until there are no more, and show what changes on the board."""
    console = console or Console(highlight=False)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for _ in looks(board, steps, EVERY, patience=0.0):
                live.update(picture(board, stop, *console.size), refresh=True)
        return
    for changed in looks(board, steps, EVERY_LINE, PATIENCE):
        lines = [line(board, folder) for folder in changed or board.having(RunState.RUNNING)]
        print(*lines, summary(board, stop), sep="\n", flush=True)


def looks(board: Board, steps: Iterable[None], every: float, patience: float) -> Iterator[list[str]]:
    """Take the steps of a runner; yield the runs whose state has changed whenever it is time to look at the board.

    Args:
        every: Seconds between two looks if nothing changes.
        patience: Seconds from a change to the look, so that what happens together is shown together.
    """
    shown, due = dict(board.states), 0.0

    def changed() -> list[str]:
        return [folder for folder, state in board.states.items() if shown[folder] is not state]

    for _ in steps:
        now = time.monotonic()
        due = min(due, now + patience) if changed() else due
        if now >= due:
            board.look_at_running()
            yield changed()
            shown, due = dict(board.states), now + every
        time.sleep(TICK)
    if changed():
        yield changed()


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
    accuracy, running = board.accuracy(folder), board.running.get(folder)
    what = next(progress(board, folder)) if running and running.has_started else ""
    what = what if accuracy is None else f"{accuracy:.4f}"
    return f"{board.states[folder].value:<11} {short_name(board, folder)}  {what}".rstrip()


def short_name(board: Board, folder: str) -> str:
    """Return a run's folder without the dataset and the backbone, if all runs have the same."""
    places = {Path(other).parts[:2] for other in board.runs}
    return str(Path(*Path(folder).parts[2:])) if len(places) == 1 else folder


def counts(board: Board) -> str:
    """Return `3 done, 1 running, 8 left, 0 failed`."""
    groups = ((RunState.FINISHED,), (RunState.RUNNING,), LEFT, (RunState.FAILED,))
    done, running, left, failed = (len(board.having(*states)) for states in groups)
    return f"{done} done, {running} running, {left} left, {failed} failed"


def summary(board: Board, stop: Stop | None = None) -> str:
    """Return one line: `3 done, 1 running, 8 left, 0 failed; about 4 min left`, with the time as far as it is known."""
    if stop and stop.number is not None:
        return f"{counts(board)}; stopping: the trainings save and end"
    seconds = board.time_left()
    if seconds is None or not board.having(*LEFT, RunState.RUNNING):
        return counts(board)
    return f"{counts(board)}; " + (f"about {duration(round(seconds))} left" if seconds >= 1 else "about to end")
