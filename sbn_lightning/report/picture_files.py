"""Writes figures as SVG and PNG, byte for byte the same from the same runs."""

import io
import re
from pathlib import Path
from typing import Any

from sbn_lightning.report.document import Picture

DPI = 120
LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def save(figure: Any, folder: Path, name: str, caption: str) -> Picture:
    """Write folder/name.svg and folder/name.png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    folder.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    FigureCanvasSVG(figure)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = with_short_numbers(stream.getvalue())
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    return Picture(name, caption, svg)


def with_short_numbers(svg: str) -> str:
    """Coordinates of curves with two decimals instead of six: a hundredth of a point cannot be seen."""
    return re.sub(r'(?<= d=")[^"]*', lambda path: LONG_NUMBER.sub(rounded, path[0]), svg)


def rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}"


def inline(picture: Picture) -> str:
    """The picture as an element of an HTML page: its names made its own, so that many fit on one page."""
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{picture.name}-', svg)
    svg = re.sub(r'href="#', f'href="#{picture.name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{picture.name}-", svg)
    svg = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", svg, count=1)
    return re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", svg, count=1)
