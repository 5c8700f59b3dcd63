"""A report as Markdown, its figures as links."""

import re
from collections.abc import Iterable

from sbn_lightning.report.document import Block, Bullets, Caution, Heading, Listing, Paragraph, Picture, Table


def to_markdown(blocks: Iterable[Block]) -> str:
    """The whole document."""
    return "\n\n".join(map(block_to_markdown, blocks)) + "\n"


def block_to_markdown(block: Block) -> str:
    """One part."""
    match block:
        case Heading(level, text):
            return f"{'#' * level} {escape(text)}"
        case Paragraph(text):
            return escape(text)
        case Caution(text):
            return f"> **Warning:** {escape(text)}"
        case Bullets(items):
            return "\n".join(f"- {escape(item)}" for item in items)
        case Picture(name, caption, _):
            return f"![{escape(caption)}](figures/{name}.svg)\n\n*{escape(caption)}*"
        case Listing(text):
            return "\n".join(f"    {line}" for line in text.splitlines())
        case Table():
            return table_to_markdown(block)


def table_to_markdown(table: Table) -> str:
    """Caption, table, notes."""
    header, *rows = (f"| {' | '.join(map(escape, line))} |" for line in (table.header, *table.rows))
    grid = "\n".join([header, f"|---|{'--:|' * (len(table.header) - 1)}", *rows])
    notes = "\n".join(f"- {escape(note)}" for note in table.notes)
    return "\n\n".join(filter(None, [f"**{escape(table.caption)}**", grid, notes]))


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
