"""Softmax and one other row of each table: drawn beside each other, and one network of each by McNemar's test."""

import gc
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from sbn_lightning.report import wording
from sbn_lightning.report.document import Block, Caution, Paragraph
from sbn_lightning.report.drawings import draw_pair
from sbn_lightning.report.names import slugs
from sbn_lightning.report.records import Run, UnreadableRecordError
from sbn_lightning.report.rows import Group, Row, is_reference
from sbn_lightning.report.statistics import mcnemar

GROUPS_PER_PROCESS = 2
"""From so many on it pays to start a process for them."""


def pairs(groups: Sequence[Group], figures: Path) -> list[list[Block]]:
    """`pair` of each group; of many on all cores, since matplotlib takes a tenth of a second for a figure."""
    workers = min(os.cpu_count() or 1, len(groups) // GROUPS_PER_PROCESS)
    stems = slugs(group.title for group in groups)
    if workers < 2:
        return [pair(group, stem, figures) for group, stem in zip(groups, stems, strict=True)]
    # gc.disable: there is nothing worth collecting in a few seconds, and looking for it costs a twentieth.
    with ProcessPoolExecutor(workers, get_context("spawn"), gc.disable) as processes:
        return list(processes.map(pair, groups, stems, itertools.repeat(figures)))


def pair(group: Group, stem: str, figures: Path) -> list[Block]:
    """Figures of softmax and the declared SBN row (else the first other that is finished and declared), and McNemar's
    test of one pair."""
    others = [row for row in group.rows if row.finished and row.declared and not is_reference(row)]
    other = group.proposed or next(iter(others), None)
    reference = group.reference_of(other or group.rows[0])
    rows = [row for row in (reference, other) if row is not None] or [row for row in group.rows if row.finished][:1]
    if not rows:
        return [Paragraph("There are no figures: no run is finished.")]
    return pair_of_rows(rows, group.title, stem, figures)


def pair_of_rows(rows: Sequence[Row], title: str, stem: str, figures: Path) -> list[Block]:
    """Figures and McNemar's test of one or two rows, for which the lowest seed that both have stands."""
    common = set.intersection(*(set(row.accuracies) for row in rows))
    seeds = {row.label: min(common or row.accuracies) for row in rows}
    blocks = draw_pair(rows, seeds, title, stem, figures)
    if len(rows) == 2:
        blocks += two_networks(*(row.run_of(seeds[row.label]) for row in rows))
    return blocks


def two_networks(first: Run, second: Run) -> list[Block]:
    """McNemar's test."""
    try:
        ours, theirs = predicted(first), predicted(second)
    except UnreadableRecordError as error:
        return [Caution(f"McNemar's test is left out: {error}.")]
    if not ours or not theirs or not np.array_equal(ours["labels"], theirs["labels"]):
        why = "not both have a test.npz" if not ours or not theirs else "they were tested on different images"
        return [Caution(f"McNemar's test of {first.name} and {second.name} is left out: {why}.")]
    right = [arrays["predictions"] == arrays["labels"] for arrays in (ours, theirs)]
    result = mcnemar(right[0].tolist(), right[1].tolist())
    return [Paragraph(wording.mcnemar_sentence(first.name, second.name, result))]


def predicted(run: Run) -> dict[str, np.ndarray]:
    """The test images' labels and predicted classes; empty without test.npz.

    An older record holds no predictions. Its logits are rounded to float16, so that a tie among them may be broken
    otherwise than the network did.
    """
    arrays = run.stored("labels", optional=["predictions"])
    if arrays and "predictions" not in arrays:
        arrays["predictions"] = run.stored("logits")["logits"].astype(np.float32).argmax(1)
    return arrays
