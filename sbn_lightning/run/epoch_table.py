"""results.csv: a row for each epoch, without gaps, for spreadsheets; made of what the training logged."""

import csv
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from sbn_lightning.run.files import EPOCH_TABLE, whole_file
from sbn_lightning.run.measures import MEASURES
from sbn_lightning.run.metrics_log import STAGES, Rows, is_stage_tag

Epoch = dict[str, float]
"""{"epoch", "step", "seconds", tag: value}"""
FIRST = ("epoch", "step", "seconds")
MEASURED = [measure.name for measure in MEASURES]


def write_epoch_table(run_dir: Path, rows: Rows, seconds: Mapping[int, float], last: float = math.inf) -> None:
    """Write results.csv.

    Args:
        rows: What was logged, see `metrics_log.Rows`.
        seconds: {epoch: seconds from the start of the training to the epoch's end}.
        last: The number of the last epoch; what was logged in a later one belongs to it, as in `epochs_of`.
    """
    epochs = epoch_rows(rows, seconds, last)
    tags = {tag: None for epoch in epochs for tag in epoch}
    with whole_file(run_dir / EPOCH_TABLE) as stream:
        writer = csv.DictWriter(stream, sorted(tags, key=place), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(epochs)


def epoch_rows(rows: Rows, seconds: Mapping[int, float], last: float = math.inf) -> list[Epoch]:
    """Return a row for each epoch that has measures of whole stages.

    - `epoch`: its number, from 1
    - `step`: the number of optimizer steps until its end
    - `seconds`: that it took, with its validation and, of the first epoch, with the start of the training
    - the learning rates, `lr-…`, in the epoch's last step that logged them
    - the measures of all images of each stage, e.g. `train/accuracy` and `val/loss`; of several validations in an
      epoch, those of the last
    - what else was logged once in each epoch, at its end, e.g. `logits/std`
    """
    ends = {}  # {epoch: its last step}
    for step, row in sorted(rows.items()):
        if "epoch" in row and any(map(is_stage_tag, row)):
            ends[int(min(row["epoch"], last))] = step
    found: list[Epoch] = []
    rates: Epoch = {}
    steps = sorted(rows)
    first = 0
    for number, end in sorted(ends.items()):
        behind = bisect_right(steps, end)
        logged = [entry for step in steps[first:behind] for entry in rows[step].items()]
        first = behind
        # Without the noise of a product such as 0.1 · 0.1.
        rates |= {tag: float(f"{value:.12g}") for tag, value in logged if is_rate(tag)}
        stages = {tag: value for tag, value in logged if is_stage_tag(tag)}
        times = Counter(tag for tag, _ in logged)
        others = {tag: value for tag, value in rows[end].items() if times[tag] == 1 and is_other(tag)}
        found.append({"epoch": number, "step": end + 1} | seconds_of(number, seconds) | rates | stages | others)
    return [{tag: row[tag] for tag in row if not is_other(tag) or all(tag in one for one in found)} for row in found]


def seconds_of(epoch: int, until: Mapping[int, float]) -> Epoch:
    before = until.get(epoch - 1, 0.0 if epoch == 1 else None)
    return {} if before is None or epoch not in until else {"seconds": round(until[epoch] - before, 3)}


def is_rate(tag: str) -> bool:
    return tag.startswith("lr-")


def is_other(tag: str) -> bool:
    """Whether a tag is neither a learning rate nor measured on images of a stage or a batch."""
    return tag not in FIRST and not is_rate(tag) and not tag.startswith(STAGES)


def place(tag: str) -> tuple[int, int, int, str]:
    """Return where a column stands among the others: what the epoch is, the learning rates, the stages, all else."""
    stage, _, name = tag.partition("/")
    if tag in FIRST:
        return 0, FIRST.index(tag), 0, tag
    if is_rate(tag):
        return 1, 0, 0, tag
    if is_other(tag):
        return 3, 0, 0, tag
    return 2, STAGES.index(f"{stage}/"), MEASURED.index(name) if name in MEASURED else len(MEASURED), tag
