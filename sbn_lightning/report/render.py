"""A report as one HTML file that needs nothing else: styles and figures are in it."""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from sbn_lightning.report.document import Block, Bullets, Caution, Heading, Listing, Paragraph, Picture, Table
from sbn_lightning.report.picture_files import inline

STYLE = Path(__file__).with_name("page_style.css")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
LONG_TEXT = 60
"""Characters from which on a cell is broken into lines."""


def to_page(blocks: Iterable[Block]) -> str:
    """The whole page: neighboring figures beside each other, and links to its sections."""
    blocks = list(blocks)
    body: list[str] = []
    for number, block in enumerate(blocks):
        before, after = blocks[number - 1] if number else None, blocks[number + 1 : number + 2]
        if isinstance(block, Picture) and not isinstance(before, Picture):
            body.append('<div class="pictures">')
        body.append(block_to_html(block))
        if isinstance(block, Picture) and not any(isinstance(next_one, Picture) for next_one in after):
            body.append("</div>")
        if isinstance(block, Heading) and block.level == 1:
            body.append(contents(blocks))
    title = next((block.text for block in blocks if isinstance(block, Heading)), "Report")
    return PAGE.format(title=escape(title), style=STYLE.read_text(encoding="utf-8"), body="\n".join(filter(None, body)))


def contents(blocks: Iterable[Block]) -> str:
    """Links to the sections."""
    sections = [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]
    links = "".join(f'<a href="#{anchor(text)}">{escape(text)}</a>' for text in sections)
    return f'<nav aria-label="Sections">{links}</nav>' if len(sections) > 1 else ""


def block_to_html(block: Block) -> str:
    """One part."""
    match block:
        case Heading(level, text):
            return f'<h{level} id="{anchor(text)}">{escape(text)}</h{level}>'
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Caution(text):
            return f'<p class="caution"><strong>Warning:</strong> {escape(text)}</p>'
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Picture(_, caption, _):
            drawing = inline(block).replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)
            return f"<figure><div>{drawing}</div><figcaption>{escape(caption)}</figcaption></figure>"
        case Listing(text):
            return f"<pre>{escape(text)}</pre>"
        case Table():
            return table_to_html(block)


def table_to_html(table: Table) -> str:
    """Scrolls in a box of its own where it is wider than the page."""
    head = "".join(f'<th scope="col">{in_parts(cell)}</th>' for cell in table.header)
    body = "\n".join(f"<tr>{''.join(map(cell_to_html, range(len(row)), row))}</tr>" for row in table.rows)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    return (
        f'<div class="table"><p class="caption">{escape(table.caption)}</p><div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>{notes}</div>"
    )


def cell_to_html(column: int, text: str) -> str:
    if column == 0:
        return f'<th scope="row">{escape(text)}</th>'
    if len(text) > LONG_TEXT:
        return f'<td class="text">{escape(text)}</td>'
    return f"<td>{in_parts(text)}</td>"


def in_parts(text: str) -> str:
    """Numbers keep together with their units; an interval may stand below its difference."""
    parts = re.split(r" (?=\([^\d]|\(95)|(?<=[;,]) ", text)
    return " ".join(f"<span>{escape(part)}</span>" for part in parts)


def anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
