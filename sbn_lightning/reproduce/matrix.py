"""A grid as tables for people: one for each dataset and backbone, with a head a row and a seed a column."""

import statistics
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from sbn_lightning.reproduce.board import Board
from sbn_lightning.run.records import RunState

GAP = 2
"""Columns between two columns of a table."""
WIDEST_LABEL = 24
NARROWEST, WIDEST = len("waiting"), len("epoch 100/100 0.9123")
"""Columns of a seed."""
MEAN = "mean ± std"
MEAN_WIDTH = len("0.9722 ± 0.0012")
STYLES = {RunState.RUNNING: "cyan", RunState.FAILED: "bold red", RunState.FINISHED: "bold"}
"""Styles of cells; those of all other states are dim."""
WORDS = {RunState.NEW: "left", RunState.STARTED: "stopped", RunState.TRAINED: "no test"}


@dataclass(frozen=True)
class Block:
    """A table; seeds that do not fit beside each other are in further tables.

    Attributes:
        dataset, backbone: Of all its runs.
        rows: {the head's label: {seed: the run's folder}}, with all seeds.
        seeds: Those that the table shows.
        label_width, seed_width: Of the columns.
        has_mean: Whether the last column is of the mean over all seeds: not if there is one, no result, or no room.
    """

    dataset: str
    backbone: str
    rows: dict[str, dict[int, str]]
    seeds: list[int]
    label_width: int
    seed_width: int
    has_mean: bool

    def folders_of(self, label: str) -> list[str]:
        """Return the runs that a row of it shows."""
        return [folder for seed, folder in self.rows[label].items() if seed in self.seeds]

    @property
    def folders(self) -> list[str]:
        """The runs that it shows."""
        return [folder for label in self.rows for folder in self.folders_of(label)]

    @property
    def height(self) -> int:
        """The number of its lines, with a title and the names of the columns."""
        return 2 + len(self.rows)


def blocks(board: Board, width: int) -> list[Block]:
    """Return the tables of a board's runs, none of which is wider than `width`, in the grid's order."""
    groups: dict[tuple[str, str], dict[str, dict[int, str]]] = {}
    for folder, run in board.runs.items():
        groups.setdefault((run.dataset, run.backbone), {}).setdefault(run.label, {})[run.seed] = folder
    label_width = min(WIDEST_LABEL, max(len(run.label) for run in board.runs.values()))
    found = []
    for (dataset, backbone), rows in groups.items():
        seeds = list(dict.fromkeys(seed for row in rows.values() for seed in row))
        room = width - label_width
        has_result = any(board.accuracy(folder) is not None for row in rows.values() for folder in row.values())
        has_mean = has_result and len(seeds) > 1 and room >= NARROWEST + MEAN_WIDTH + 2 * GAP
        room -= (MEAN_WIDTH + GAP) * has_mean
        fitting = min(len(seeds), max(1, room // (NARROWEST + GAP)))
        seed_width = min(WIDEST, max(NARROWEST, room // fitting - GAP))
        for start in range(0, len(seeds), fitting):
            shown = seeds[start : start + fitting]
            found.append(Block(dataset, backbone, rows, shown, label_width, seed_width, has_mean))
    return found


def drawn(board: Board, block: Block, is_live: bool, labels: Collection[str] | None = None) -> Table:
    """Return a table as rich prints it.

    Args:
        is_live: Whether the runs that are left are waiting for their turn.
        labels: Only these rows; None for all.
    """
    title = Text(f"{block.dataset}, {block.backbone}", "bold")
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), title=title, title_justify="left", header_style="")
    table.add_column("", width=block.label_width, no_wrap=True, overflow="ellipsis")
    for seed in block.seeds:
        table.add_column(f"seed {seed}", width=block.seed_width, no_wrap=True, overflow="ellipsis")
    if block.has_mean:
        table.add_column(MEAN, width=MEAN_WIDTH, no_wrap=True)
    for label, row in block.rows.items():
        if labels is None or label in labels:
            cells = [cell(board, row[seed], block.seed_width, is_live) if seed in row else "" for seed in block.seeds]
            table.add_row(label, *cells, *[mean(board, row.values())] * block.has_mean)
    return table


def cell(board: Board, folder: str, width: int, is_live: bool) -> Text:
    """Return how far a run is, or its test accuracy, in at most `width` columns."""
    state = board.states[folder]
    style = STYLES.get(state, "dim")
    if state is RunState.RUNNING:
        texts = list(progress(board, folder))
        return Text(next((text for text in texts if len(text) <= width), texts[-1]), style)
    if (accuracy := board.accuracy(folder)) is not None:
        return Text(f"{accuracy:.4f}", style)
    return Text("waiting" if is_live and state is not RunState.FAILED else WORDS.get(state, state.value), style)


def progress(board: Board, folder: str) -> Iterator[str]:
    """Yield how far a running run is, in ever fewer words: `epoch 3/30 0.9123`, `3/30 0.912`, `3/30`."""
    running = board.running[folder]
    if running.trained or not running.has_started:
        yield "testing" if running.trained else "starting"
        yield "starts"
        return
    epoch = f"{running.epoch}/{running.epochs}" if running.epochs else f"{running.epoch}"
    if running.accuracy is not None:
        yield f"epoch {epoch} {running.accuracy:.4f}"
        yield f"epoch {epoch} {running.accuracy:.3f}"
        yield f"{epoch} {running.accuracy:.3f}"
    yield f"epoch {epoch}"
    yield epoch


def mean(board: Board, folders: Collection[str]) -> str:
    """Return the mean and the standard deviation of the test accuracies of those runs that are finished."""
    accuracies = [accuracy for folder in folders if (accuracy := board.accuracy(folder)) is not None]
    if len(accuracies) < 2:
        return f"{accuracies[0]:.4f}" if accuracies else ""
    return f"{statistics.mean(accuracies):.4f} ± {statistics.stdev(accuracies):.4f}"
