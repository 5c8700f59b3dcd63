"""The parts of a report, and how the templates turn them into text. The text of a part is plain, without markup."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from markupsafe import escape as escape_html

from sbn_lightning.figures import DARK


@dataclass(frozen=True)
class Text:
    """A heading, a paragraph, the one that says the most important thing, one in small letters, a warning about the
    numbers beside it, or a listing with its line breaks."""

    kind: Literal["title", "section", "subsection", "lead", "paragraph", "small", "warning", "listing"]
    text: str


@dataclass(frozen=True)
class Bullets:
    """Each point has a name, which is emphasized, and a text."""

    kind: ClassVar[str] = "bullets"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """The first column names the row; notes stand below. LaTeX refers to it by a name. A page sorts one that is long by
    the column whose heading is clicked."""

    kind: ClassVar[str] = "table"
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    name: str = "table"
    is_sortable: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure beside the report (figures/NAME.svg, NAME_dark.svg and NAME.pdf), and the content of the first file, for
    a page that contains its figures."""

    kind: ClassVar[str] = "picture"
    name: str
    caption: str
    svg: str
    is_beside: bool = False  # whether it stands beside the bullets before it


@dataclass(frozen=True)
class Fold:
    """Parts that a page shows when one asks for them; LaTeX leaves them out."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence["Block"]


@dataclass(frozen=True)
class Photo:
    """A small image, as a data URI, and the lines below it."""

    uri: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """Photos side by side; only on pages."""

    kind: ClassVar[str] = "gallery"
    photos: Sequence[Photo]


@dataclass(frozen=True)
class Counts:
    """How many images of the class of a row are taken for the class of a column, as numbers; only on pages."""

    kind: ClassVar[str] = "counts"
    caption: str
    names: Sequence[str]
    rows: Sequence[Sequence[int]]

    @property
    def shares(self) -> list[list[float]]:
        """Each number as a share of its row."""
        return [[number / max(1, sum(row)) for number in row] for row in self.rows]


@dataclass(frozen=True)
class CountImage:
    """The same of many classes, as an image with a pixel for each cell, which a page explains where one points at it;
    only on pages."""

    kind: ClassVar[str] = "count image"
    caption: str
    names: Sequence[str]
    images: Sequence[int]  # of each row
    cells: Sequence[tuple[int, int, int]]  # row, column and number of each that is not 0
    uri: str  # the image


Block = Text | Bullets | Table | Picture | Fold | Gallery | Counts | CountImage

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "±": r"$\pm$", "−": r"$-$", "×": r"$\times$", "–": "--", "‖": r"$\|$", "≥": r"$\ge$", "·": r"$\cdot$",
    "…": r"\dots{}", "†": r"\dag{}", "Σ": r"$\Sigma$", "²": r"$^2$", "′": "$'$", "∂": r"$\partial$", "’": "'",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Return what LaTeX prints as the text."""
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split()))


def escape_markdown(text: str) -> str:
    """Return what Markdown shows as the text, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def escape_page(text: str) -> str:
    """Return what a page shows as the text, with each number and its % in one line."""
    return escape_html(text.replace(" %", "\u00a0%"))


ESCAPES: dict[str, Callable[[str], str]] = {"html": escape_page, "md": escape_markdown, "tex": escape_latex}
"""The formats: each has a template, report.FORMAT.j2, in which every text is escaped like this."""


def write_report(blocks: Sequence[Block], out: Path, name: str) -> str:
    """Write a report in every format, as out/name.FORMAT, and return what was written, for people."""
    out.mkdir(parents=True, exist_ok=True)
    for suffix in ESCAPES:
        (out / f"{name}.{suffix}").write_text(rendered(blocks, suffix), encoding="utf-8")
    figures = ["figures/"] if any(isinstance(block, Picture) for block in blocks) else []
    return ", ".join([*(f"{name}.{suffix}" for suffix in ESCAPES), *figures])


def write_csv(file: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write a header and the lines, with an empty cell where there is no value."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(lines[0]) if lines else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def rendered(blocks: Sequence[Block], suffix: str) -> str:
    """Return a report in one format."""
    is_live = any(
        isinstance(block, CountImage) or (isinstance(block, Table) and block.is_sortable) for block in flat(blocks)
    )
    return fill(f"report.{suffix}.j2", ESCAPES[suffix], blocks=blocks, colors=DARK, is_live=is_live)


def flat(blocks: Sequence[Block]) -> Iterator[Block]:
    """Yield the parts with those that are folded."""
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from flat(block.blocks)


def fill(template: str, escape: Callable[[str], str], package: str = "sbn_lightning.report", **values: Any) -> str:
    """Return the text of a template of a package, in which each value is escaped by a function, unless a filter made it
    Markup."""
    environment = Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else escape(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = {
        "anchors": anchors,
        "inline": inline,
        "json": json.dumps,
        "phrases": phrases,
        "raw": Markup,
        "variable": variable,
    }
    environment.filters |= filters
    return environment.get_template(template).render(**values)


def anchors(texts: Iterable[str]) -> list[str]:
    """The names of headings or tables in links, no two the same."""
    names = [re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") for text in texts]
    return [f"{name}.{number}" if name in names[:number] else name for number, name in enumerate(names)]


def phrases(text: str) -> list[str]:
    """Parts of a cell that stay on one line: a number keeps its unit; an interval may be below its difference."""
    return re.split(r" (?=\([^\d]|\(95)|(?<=[;,]) ", text)


def inline(picture: Picture) -> Markup:
    """The picture as an element of a page. Names within it get a prefix, so that many pictures fit on one page, and its
    colors are those of the page, which has other ones on a dark background."""
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{picture.name}-", svg)
    svg = re.sub("#[0-9a-f]{6}", lambda color: f"var({variable(color[0])})" if color[0] in DARK else color[0], svg)
    for size in ("width", "height"):
        svg = re.sub(rf'<svg([^>]*?) {size}="[^"]*"', r"<svg\1", svg, count=1)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape_html(picture.caption)}"', 1))


def variable(color: str) -> str:
    """The name of a figure's color in a page's style."""
    return f"--figure-{color[1:]}"
