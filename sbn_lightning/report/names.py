"""What tables and rows are called in a report, and their files."""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence

from sbn_lightning.report.records import Data

SHORT_NAMES = {
    "SoftmaxHead": "softmax",
    "ScaledBatchNormHead": "SBN",
    "AMSoftmaxHead": "AM-Softmax",
    "PEDCCHead": "PEDCC-Loss",
}
ALWAYS_NAMED = ("scale", "margin")
"""Settings that a row's name tells even where all rows of the head agree on them."""

Tellers = Sequence[Callable[[Data], str]]
OF_DATA: Tellers = (
    lambda facts: str(facts["data"]["name"]),
    lambda facts: f"{facts['data']['classes']} classes",
    lambda facts: str(facts["data"].get("shape") or "unknown shape").strip("[]").replace(", ", "×"),
    lambda facts: f"data {facts['data'].get('fingerprint') or 'without a fingerprint'}",
)
OF_BACKBONE: Tellers = (
    lambda facts: ", ".join(f"{key}={value}" for key, value in facts["model"]["backbone"]["settings"].items()),
    lambda facts: f"{facts['model']['backbone'].get('parameters')} parameters",
)
"""What may tell apart two tables whose dataset and backbone have the same names."""


def titles(tables: Sequence[tuple[str, Data]]) -> list[tuple[str, str]]:
    """Dataset and backbone of each table; with what tells them apart where two would read the same.

    Args:
        tables: The dataset's name, and the facts of one of the runs.
    """
    names = [(dataset, facts["model"]["backbone"]["name"]) for dataset, facts in tables]
    shown = []
    for (dataset, backbone), (_, facts) in zip(names, tables, strict=True):
        alike = [other for name, (_, other) in zip(names, tables, strict=True) if name == (dataset, backbone)]
        shown.append((dataset + in_brackets(OF_DATA, facts, alike), backbone + in_brackets(OF_BACKBONE, facts, alike)))
    return shown


def in_brackets(tellers: Tellers, facts: Data, alike: Sequence[Data]) -> str:
    """What differs among tables of the same names, as this one has it."""
    told = [tell(facts) for tell in tellers if any(tell(other) != tell(facts) for other in alike)]
    return f" ({', '.join(filter(None, told))})" if any(told) else ""


def name_of(head: Data, alike: Sequence[Data]) -> str:
    """A head's short name with its scale, its margin, and whatever else differs between the rows of that head."""
    settings = head["settings"]
    told = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in settings.items()
        if key in ALWAYS_NAMED or any(other.get(key) != value for other in alike)
    ]
    return ", ".join([SHORT_NAMES.get(head["name"], head["name"].removesuffix("Head")), *told])


def slugs(texts: Iterable[str]) -> list[str]:
    """A file name for each text, no two the same."""
    names: list[str] = []
    for text in texts:
        slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "table"
        numbered = (f"{slug}_{number}" for number in itertools.count(2))
        names.append(next(name for name in itertools.chain([slug], numbered) if name not in names))
    return names
