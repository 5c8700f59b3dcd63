"""metrics.jsonl: every scalar that a training logged, appended line by line: {"step": 49, "epoch": 1, TAG: value, …}.

`step` counts optimizer steps from 0 (TensorBoard's x axis), `epoch` counts from 1. Several lines may have one step.
metrics.csv is the same as a table, written when training ends.
"""

import csv
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import METRICS, METRICS_TABLE, whole_file

Rows = dict[int, dict[str, float]]
"""{step: {tag: value}}"""


def read_metrics(run_dir: Path) -> Rows:
    """Return {step: {tag: value}} of what a run's training logged; from its metrics.csv where there is only that.

    A last line that was cut off by a kill is left out.

    Raises:
        UsageError: If the file holds something else.
    """
    file = run_dir / METRICS
    if not file.is_file():
        return _read_table(run_dir / METRICS_TABLE)
    rows: Rows = {}
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
        for line in lines[:-1]:  # the last one is empty, or was cut off
            row = json.loads(line)
            rows.setdefault(int(row.pop("step")), {}).update(row)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{file} is damaged; remove it to continue the run without the curves so far") from error
    return rows


def metrics_line(step: int, values: Mapping[str, float]) -> str:
    """Return the line of a step's values."""
    return json.dumps({"step": step, **values}) + "\n"


def append_lines(run_dir: Path, lines: Iterable[str]) -> None:
    """Append lines to a run's metrics.jsonl, and wait until they are on the disk.

    Raises:
        UsageError: If the file cannot be written.
    """
    file = run_dir / METRICS
    try:
        with open(file, "a", encoding="utf-8", newline="") as stream:
            stream.writelines(lines)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}); fix this and continue the run") from error


def keep_metrics_before(run_dir: Path, step: int) -> None:
    """Start a run's metrics.jsonl with what was logged before a step; what came later, or was cut off, is dropped."""
    rows = read_metrics(run_dir) if step > 0 else {}
    with whole_file(run_dir / METRICS) as stream:
        stream.writelines(metrics_line(number, row) for number, row in sorted(rows.items()) if number < step)


def write_table(run_dir: Path, rows: Rows) -> None:
    """Write metrics.csv: a row per step at which something was logged, a column per tag, blank where a row has none.

    Columns: `epoch`, `step`, then the tags in alphabetical order.
    """
    tags = sorted({tag for row in rows.values() for tag in row} - {"epoch"})
    with whole_file(run_dir / METRICS_TABLE) as stream:
        writer = csv.DictWriter(stream, ["epoch", "step", *tags], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({"step": step, **row} for step, row in sorted(rows.items()))


def epochs_of(rows: Rows) -> list[dict[str, float]]:
    """Return {"epoch": number, tag: value} of each epoch, with the tags of whole stages (`train/…`, `val/…`,
    `test_each_epoch/…`); epochs without such tags are left out."""
    epochs: dict[float, dict[str, float]] = {}
    for _, row in sorted(rows.items()):
        stages = {tag: value for tag, value in row.items() if is_stage_tag(tag)}
        if stages and "epoch" in row:
            epochs.setdefault(row["epoch"], {"epoch": row["epoch"]}).update(stages)
    return list(epochs.values())


def is_stage_tag(tag: str) -> bool:
    """Whether a tag is measured over all images of a stage, e.g. `train/accuracy`."""
    return tag.startswith(("train/", "val/", "test_each_epoch/")) and "/batch_" not in tag


def _read_table(file: Path) -> Rows:
    if not file.is_file():
        return {}
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            return {
                int(row.pop("step")): {
                    tag: int(value) if tag == "epoch" else float(value) for tag, value in row.items() if value != ""
                }
                for row in csv.DictReader(stream)
            }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{file} is damaged; remove it to continue the run without the curves so far") from error
