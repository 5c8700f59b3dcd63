"""What is said of a grid before and after it runs: what there is to do, what came out, and what to do next."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from sbn_lightning.reproduce.board import LEFT, Board
from sbn_lightning.reproduce.matrix import blocks, drawn
from sbn_lightning.reproduce.runner import Stop
from sbn_lightning.reproduce.screen import counts, summary
from sbn_lightning.run import files
from sbn_lightning.run.grid_records import PlannedRun
from sbn_lightning.run.records import RunState
from sbn_lightning.terminal import columns, duration, show

TABLE_TEXT = "Test accuracy after the last epoch"
COLORS = "http://localhost:6006/?smoothing=0&runColorGroup=regex:(.*)/seed"
"""TensorBoard's page with a color for each head; otherwise each run takes the next one of seven colors."""
MEAN_TEXT = "; mean and standard deviation over the seeds"


def show_tables(board: Board) -> None:
    """Print all tables as they are now."""
    console = Console(highlight=False, width=columns())
    tables = blocks(board, console.width)
    with console.capture() as captured:
        for block in tables:
            console.print(drawn(board, block, is_live=False), "")
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n")  # rich fills them up with spaces
    if board.having(RunState.FINISHED):
        console.print(TABLE_TEXT + MEAN_TEXT * any(block.has_mean for block in tables) + ".", "", style="dim", sep="\n")


def show_commands(root: Path, runs: Iterable[PlannedRun]) -> None:
    """Print the whole command of each run."""
    for run in runs:
        print(shlex.join(["sbn", "fit", *run.arguments, "--run_dir", str(root / run.folder)]))  # one line, to be copied


def show_plan(board: Board, where: str) -> None:
    """Print what a command would do: the tables, why runs have failed, and what is to be expected.

    Args:
        where: How the runs would be spread over the machine or the cluster.
    """
    show_tables(board)
    show_failures(board)
    show(("Runs", f"{len(board.runs)} in {board.root}/: {summary(board)}"))
    if board.having(*LEFT, RunState.FAILED):
        show(("Would run", where))


def show_failures(board: Board) -> None:
    """Print why runs have failed, with the last lines of their logs."""
    for folder in board.having(RunState.FAILED):
        reason, *lines = board.errors[folder].splitlines() or [""]
        show(("Failed", f"{folder}: {reason}"))
        for text in lines:
            print(f"            {text}")
        show(("", f"the whole log: {board.root / folder / files.LOG}"), ("", ""))


def common_folder(board: Board) -> Path:
    """Return the folder of all heads, where there is a single dataset and backbone: TensorBoard calls the runs by their
    paths in it, of which it has little room to show."""
    places = {Path(*Path(folder).parts[:2]) for folder in board.runs}
    return board.root / places.pop() if len(places) == 1 else board.root


def show_end(board: Board, stop: Stop) -> int:
    """Print what came out and what to do next; return the exit code of the command, which a signal may have ended."""
    print()
    show_tables(board)
    show_failures(board)
    for folder in board.having(RunState.STARTED, RunState.TRAINED) if stop.number is None else []:
        show(("Stopped", f"{folder}: something other than this command asked it to stop (SIGTERM)"))
    show(("Runs", f"{counts(board)}; {duration(board.seconds())} of training and tests"))
    if board.having(*LEFT, RunState.FAILED):
        again = "with the same command: it repeats nothing that is finished, and tries failed runs again"
        show(("Continue", again))
    if board.having(RunState.FINISHED):
        show(("Next", f"sbn report {shlex.quote(str(board.root))}"))
        show(("", f"tensorboard --host localhost --logdir {shlex.quote(str(common_folder(board)))}"))
        show(("", f"{COLORS} shows the seeds of a head in one color"))
    if stop.number is not None:
        return 128 + stop.number
    return 0 if len(board.having(RunState.FINISHED)) == len(board.runs) else 1
