"""The parts that a report consists of, before it is Markdown, LaTeX or HTML. All text is plain, without markup."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """level 1 is the report's title."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Caution:
    """What a reader must know before believing the numbers beside it."""

    text: str


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """The first column names the row; notes stand below."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A figure that lies beside the report, as name.svg and name.png.

    Args:
        svg: The file's content, for a page that must stand alone.
    """

    name: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Listing:
    """Text of a program, line by line."""

    text: str


Block = Heading | Paragraph | Caution | Bullets | Table | Picture | Listing
