"""How texts are shown to people: names and texts in two columns, wrapped at words, in color where that is wanted."""

import shutil
import sys
import textwrap
from typing import TextIO

NAME_WIDTH = 12
"""Columns of the names. The texts beside them, and their further lines, are indented by as much."""
WIDTH_OF_A_LOG = 120
"""Columns where the output is not a terminal, and COLUMNS gives no other number."""
NAME_STYLE = "bold"
STYLES = {"Warning": "bold yellow"}
"""Styles of names that ask for attention."""


def two_columns(*rows: tuple[str, str], width: int | None = None) -> str:
    """Return names and texts in two columns. Lines are broken at words only, so that paths and commands stay whole.

    Args:
        rows: (name, text); an empty name continues the row above.
        width: Columns of the whole; None for the terminal's.
    """
    width = width or columns()
    filled = (
        textwrap.fill(
            text, width, initial_indent=f"{name:<{NAME_WIDTH}}", subsequent_indent=" " * NAME_WIDTH,
            break_long_words=False, break_on_hyphens=False,
        )
        for name, text in rows
    )  # fmt: skip
    return "\n".join(filled)


def columns() -> int:
    """The width of the terminal."""
    return shutil.get_terminal_size((WIDTH_OF_A_LOG, 0)).columns


def show(*rows: tuple[str, str], file: TextIO | None = None) -> None:
    """Print names and texts in two columns, with the names in color on a terminal that has colors.

    NO_COLOR=1 switches the colors off. All is written at once, since the process may end at any time.

    Args:
        rows: As of `two_columns`.
        file: None for the standard output.
    """
    from rich.console import Console
    from rich.text import Text

    stream = file or sys.stdout
    console = Console(file=stream, highlight=False)
    for name, text in rows:
        line = Text(two_columns((name, text)))
        line.stylize(STYLES.get(name, NAME_STYLE), 0, len(name))
        console.print(line, soft_wrap=True)
    stream.flush()


def duration(seconds: float) -> str:
    """Return 0.4 s, 46 s, 3 min 20 s, 12 min, 1 h 07 min or 2 days 3 h."""
    if seconds < 99.5:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours == 0:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} days {hours} h"
