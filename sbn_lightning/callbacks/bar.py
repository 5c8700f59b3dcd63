"""Texts side by side in one line of a given width, with a bar or without."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

NAME_STYLE = "bold"
SHORTEST = 8
"""Columns of a bar at least; it takes all that the texts beside it leave."""
BETWEEN = "  "


class Field(NamedTuple):
    """A text beside others.

    Attributes:
        rank: Where there is not enough room, the fields with the largest ranks are left out.
        text: Not shown if it is empty.
    """

    rank: int
    text: str


def fitted(fields: Sequence[Field], room: int) -> str:
    """Return the fields side by side, in their order: as many as fit into a number of columns."""
    chosen: list[Field] = []
    for field in sorted(field for field in fields if field.text):
        room -= len(field.text) + len(BETWEEN) * bool(chosen)
        if room < 0:
            break
        chosen.append(field)
    return BETWEEN.join(field.text for field in fields if field in chosen)


@dataclass(frozen=True)
class Bar:
    """A name, a bar, and the fields for which there is room, in one line as wide as the terminal."""

    name: str
    done: float
    total: float
    fields: Sequence[Field]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width - 1  # some terminals start a new line after the last column
        beside = width - len(self.name) - len(BETWEEN)
        text = fitted(self.fields, beside - SHORTEST - len(BETWEEN))
        bar = ProgressBar(self.total, self.done, max(1, beside - len(text) - len(BETWEEN) * bool(text)))
        line = Table.grid(padding=(0, len(BETWEEN), 0, 0))
        line.add_row(Text(self.name, NAME_STYLE, no_wrap=True), bar, Text(text, no_wrap=True))
        yield line
