"""How texts are shown to people: names and texts in two columns, wrapped at words, in color where that is wanted."""

import os
import shutil
import sys
import textwrap
from contextlib import suppress
from typing import Any, TextIO, TypeAlias

from sbn_lightning.shell import typed

Row: TypeAlias = tuple[str, str]
"""A name and its text; an empty name continues the row above."""
EMPTY: Row = ("", "")
"""An empty line."""

NAME_WIDTH = 12
"""Columns of the names. The texts beside them, and their further lines, are indented by as much."""
WIDTH_OF_A_LOG = 120
"""Columns where the output is not a terminal, and COLUMNS gives no other number."""
NO_BREAK = "\u00a0"
"""A space at which no line is broken."""
NAME_STYLE = "bold"
RESULTS = ("Result", "Last epoch", "At the end", "Best epoch", "Next")
STYLES = {"Warning": "bold yellow", "sbn:": "bold red", **dict.fromkeys(RESULTS, "bold green")}
"""Styles of names that ask for attention."""


def two_columns(*rows: Row, width: int | None = None, name_width: int = NAME_WIDTH) -> str:
    """Return names and texts in two columns. Lines are broken at words only, so that paths and commands stay whole.

    Args:
        rows: (name, text) of each; see Row.
        width: Columns of the whole; None for the terminal's.
        name_width: Columns of the names.
    """
    width = width or columns()
    filled = (
        textwrap.fill(
            text, width, initial_indent=f"{name:<{name_width}}", subsequent_indent=" " * name_width,
            break_long_words=False, break_on_hyphens=False,
        ) or name.rstrip()
        for name, text in rows
    )  # fmt: skip
    return "\n".join(filled).replace(NO_BREAK, " ")


def unbroken(text: str) -> str:
    """Return a text that `two_columns` leaves in one line, such as a command that is to be copied."""
    return text.replace(" ", NO_BREAK)


def columns() -> int:
    """The width of the terminal that the output goes to, or else the errors, as with `sbn fit | tee log`."""
    width = shutil.get_terminal_size((0, 0)).columns
    with suppress(OSError):
        width = width or os.get_terminal_size(2).columns
    return width or WIDTH_OF_A_LOG


def show(*rows: Row, file: TextIO | None = None) -> None:
    """Print names and texts in two columns, with the names in color on a terminal that has colors, and commands as
    they have to be typed; see `sbn_lightning.shell`.

    NO_COLOR=1 switches the colors off. All is written at once, since the process may end at any time.

    Args:
        rows: As of `two_columns`.
        file: None for the standard output.
    """
    stream = file or sys.stdout
    texts = (styled(name, two_columns((name, typed(text))), stream) for name, text in rows)
    print(*texts, sep="\n", file=stream, flush=True)


def complain(text: str) -> None:
    """Print on the standard error what is wrong: wrapped on a terminal, in one line where a program may read it."""
    width = columns() if sys.stderr.isatty() else sys.maxsize
    name = "sbn:"
    line = two_columns((name, typed(text)), width=width, name_width=len(name) + 1)
    print(styled(name, line, sys.stderr), file=sys.stderr, flush=True)


def warning_text(message: Warning | str, *place: Any, **line: Any) -> str:
    """Return a warning of any library as a row; takes the place of `warnings.formatwarning`, which names its code."""
    return f"{styled('Warning', two_columns(('Warning', str(message))), sys.stderr)}\n"


def styled(name: str, text: str, stream: TextIO) -> str:
    """Return a text that starts with a name, with the escapes that show the name in its style, if the stream is a
    terminal that has styles."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    line = Text(text)
    line.stylize(STYLES.get(name, NAME_STYLE), 0, len(name))
    with console.capture() as captured:
        console.print(line, soft_wrap=True, end="")
    return captured.get()


def duration(seconds: float) -> str:
    """Return 0.4 s, 46 s, 3 min 20 s, 4 min, 12 min, 1 h 07 min or 2 days 3 h."""
    if seconds < 99.5:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours == 0:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} days {hours} h"
