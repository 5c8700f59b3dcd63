"""How a table is made, and how values read in its cells."""

from collections.abc import Sequence

from sbn_lightning.report.render import Table
from sbn_lightning.report.rows import Comparison
from sbn_lightning.report.statistics import Difference
from sbn_lightning.terminal import duration

OVER_SEEDS = "95 % over seeds"
OTHER_IMAGES = "Also for other images (95 %)"
NONE = "–"
"""In a cell without a value."""
MARK = "†"
"""After the name of a row that was not trained as its softmax was."""


def shown(value: object, spec: str = "") -> str:
    return NONE if value is None else format(value, spec)


def interval_of(found: Difference) -> str:
    """An interval alone."""
    return found.interval_text() if found.interval() else NONE


def detectable(found: Comparison | None) -> str:
    """E.g. 1.15 (0.78 to 2.20); 4 to 8 runs for 1.00."""
    power = found and found.accuracy.power
    return f"{power.span}; {power.runs_text} for 1.00" if power else NONE


def memory(size: float | None) -> str:
    """Bytes, for people."""
    if size is None:
        return NONE
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def time_taken(seconds: float | None) -> str:
    """A duration, for people."""
    return NONE if seconds is None else duration(seconds)


def table_of(caption: str, columns: dict[str, list[str]], notes: Sequence[str] = (), name: str = Table.name) -> Table:
    """A table from its columns; those without any value are left out."""
    filled = {heading: cells for heading, cells in columns.items() if set(cells) - {"", NONE}}
    return Table(caption, list(filled), list(zip(*filled.values(), strict=True)), notes, name)
