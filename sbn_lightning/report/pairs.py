"""Softmax and one other row of each table: drawn side by side, and one network of each compared by McNemar's test."""

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sbn_lightning.report import wording
from sbn_lightning.report.drawings import arrays_of, draw_rows
from sbn_lightning.report.render import Block, Text
from sbn_lightning.report.rows import Group, Row, is_reference
from sbn_lightning.report.runs import Run
from sbn_lightning.report.statistics import mcnemar
from sbn_lightning.run.records import BrokenRecordError


def pair_of_group(group: Group, stem: str, figures: Path) -> list[Block]:
    """Figures and McNemar's test of softmax and the declared SBN row, else the first other that is finished and
    declared."""
    others = [row for row in group.rows if row.finished and row.declared and not is_reference(row)]
    other = group.proposed or next(iter(others), None)
    reference = group.reference_of(other or group.rows[0])
    rows = [row for row in (reference, other) if row is not None] or [row for row in group.rows if row.finished][:1]
    if not rows:
        return [Text("paragraph", "There are no figures: no run is finished.")]
    return pair_of_rows(rows, group.title, stem, figures)


def pair_of_rows(rows: Sequence[Row], title: str, stem: str, figures: Path) -> list[Block]:
    """Figures and McNemar's test of one or two rows; the lowest seed that both have represents each."""
    common = set.intersection(*(set(row.accuracies) for row in rows))
    seeds = {row.label: min(common or row.accuracies) for row in rows}
    blocks = draw_rows(rows, seeds, title, stem, figures)
    if len(rows) == 2:
        blocks.append(compare_networks(*(row.run_of(seeds[row.label]) for row in rows)))
    return blocks


def compare_networks(first: Run, second: Run) -> Block:
    """McNemar's test."""
    try:
        labels, predictions = arrays_of(first, "labels", "predictions")
        other_labels, other_predictions = arrays_of(second, "labels", "predictions")
        if not np.array_equal(labels, other_labels):
            raise BrokenRecordError("they were tested on different images")
    except BrokenRecordError as error:
        return Text("warning", f"McNemar's test of {first.name} and {second.name} is left out: {error}.")
    result = mcnemar(predictions == labels, other_predictions == labels)
    return Text("paragraph", wording.mcnemar_sentence(first.name, second.name, result))


def file_names(titles: Iterable[str]) -> list[str]:
    """Return a file name for each title, no two the same."""
    names: list[str] = []
    for title in titles:
        name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "table"
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        names.append(next(one for one in itertools.chain([name], numbered) if one not in names))
    return names
