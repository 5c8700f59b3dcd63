"""metrics.jsonl: every scalar that a training logged, appended line by line: {"step": 49, "epoch": 1, TAG: value, …}.

`step` counts optimizer steps from 0 (TensorBoard's x axis), `epoch` counts from 1. Several lines may have one step.
metrics.csv is the same as a table, written when training ends.
"""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import METRICS, METRICS_TABLE, to_disk, whole_file

STAGES = ("train/", "val/", "test_each_epoch/")
"""How the tags of what is measured on images start."""
Rows = dict[int, dict[str, float]]
"""{step: {tag: value}}"""
LARGEST = float(np.finfo(np.float32).max)


def read_metrics(run_dir: Path, size: int | None = None) -> Rows:
    """Return {step: {tag: value}} of what a run's training logged; from its metrics.csv where there is only that.

    A last line that was cut off by a kill is left out. With a size, only as many bytes of metrics.jsonl are
    read. A file that holds something else is a UsageError.
    """
    file = next((run_dir / name for name in (METRICS, METRICS_TABLE) if (run_dir / name).is_file()), None)
    rows: Rows = {}
    if file is None:  # the run logged nothing
        return rows
    try:
        is_table, content = file.name == METRICS_TABLE, file.read_bytes()
        text = content.decode() if is_table else content[:size].decode(errors="replace")
        for row in _table_rows(text) if is_table else _lines(text):
            rows.setdefault(int(row.pop("step")), {}).update(_numbers(row))
    except (OSError, ValueError, ArithmeticError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{file} is damaged; remove it to continue the run without the curves so far") from error
    return rows


def size_of_metrics(run_dir: Path) -> int | None:
    """Return the number of bytes in a run's metrics.jsonl; None without one."""
    file = run_dir / METRICS
    return file.stat().st_size if file.is_file() else None


def _numbers(row: dict[str, float]) -> dict[str, float]:
    """Return the row, or raise a TypeError or ValueError if its tags are not texts or its values not numbers."""
    for tag, value in row.items():
        tag.encode()  # not half of a surrogate pair, which JSON can hold but no file
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{tag} is {value!r}")
    return row


def _lines(text: str) -> Iterator[dict[str, float]]:
    return (json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))


def _table_rows(text: str) -> Iterator[dict[str, float]]:
    for row in csv.DictReader(text.splitlines()):
        yield {tag: int(value) if tag == "epoch" else float(value) for tag, value in row.items() if value != ""}


def shortest(value: float) -> float:
    """Return the number with the fewest digits that is the same in float32, if the value is one of float32's: torch
    gives 0.18 as 0.18000000715255737. Any other value is returned as it is."""
    if not math.isfinite(value) or abs(value) > LARGEST:
        return value
    single = np.float32(value)
    return float(str(single)) if float(single) == value else value


def metrics_line(step: int, values: Mapping[str, float]) -> str:
    """Return the line of a step's values."""
    return json.dumps({"step": step, **values}) + "\n"


def append_lines(run_dir: Path, lines: Iterable[str]) -> None:
    """Append lines to a run's metrics.jsonl, and wait until they are on the disk, or raise a UsageError."""
    file = run_dir / METRICS
    try:
        with open(file, "a", encoding="utf-8", newline="") as stream:
            stream.writelines(lines)
            to_disk(stream)
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}); fix this and continue the run") from error


def keep_metrics_before(run_dir: Path, step: int, size: int | None = None) -> None:
    """Start a run's metrics.jsonl with what was logged before a step, and in its first bytes if a size is given.

    What came later, or was cut off, is dropped. A training that ended inside an epoch logged the epoch's values then;
    the run that makes the rest of the epoch logs them again, at a later step.
    """
    rows = read_metrics(run_dir, size) if step > 0 else {}
    with whole_file(run_dir / METRICS) as stream:
        stream.writelines(metrics_line(number, row) for number, row in sorted(rows.items()) if number < step)


def write_table(run_dir: Path, rows: Rows) -> None:
    """Write metrics.csv: a row per step, and the columns `epoch`, `step` and each tag, blank where a row has none."""
    tags = sorted({tag for row in rows.values() for tag in row} - {"epoch"})
    with whole_file(run_dir / METRICS_TABLE) as stream:
        writer = csv.DictWriter(stream, ["epoch", "step", *tags], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({"step": step, **row} for step, row in sorted(rows.items()))


def epochs_of(rows: Rows, last: float = math.inf) -> list[dict[str, float]]:
    """Return {"epoch": number, tag: value} of each epoch that has tags of whole stages.

    Args:
        last: The number of the last epoch. What was logged later belongs to it: to average weights, Lightning adds an
            epoch in which nothing is trained.
    """
    epochs: dict[float, dict[str, float]] = {}
    for _, row in sorted(rows.items()):
        if "epoch" in row and (stages := stages_of(row)):
            number = min(row["epoch"], last)
            epochs.setdefault(number, {"epoch": number}).update(stages)
    return list(epochs.values())


def best_validation(rows: Rows, steps: int, last: float = math.inf) -> dict[str, float] | None:
    """Return {"epoch", "step", tag: value} of the first validation with the best accuracy on held-out images, of those
    after `steps` steps or fewer; None if there was none. `step` is the number of steps before it, `epoch` is at most
    the last one, as in `epochs_of`."""
    held_out = [(step, row) for step, row in sorted(rows.items()) if "val/accuracy" in row and step < steps]
    step, row = max(held_out, key=lambda item: item[1]["val/accuracy"], default=(0, {}))
    return {"epoch": min(row["epoch"], last), "step": step + 1, **stages_of(row)} if row else None


def values_after(rows: Rows, steps: int) -> dict[str, float]:
    """Return {tag: value} of whole stages that were measured after this number of steps, and not before."""
    found: dict[str, float] = {}
    for step, row in sorted(rows.items()):
        if step >= steps - 1:
            found |= stages_of(row)
    return dict(sorted(found.items()))


def stages_of(row: Mapping[str, float]) -> dict[str, float]:
    return {tag: value for tag, value in row.items() if is_stage_tag(tag)}


def is_stage_tag(tag: str) -> bool:
    """Whether a tag is measured over all images of a stage, e.g. `train/accuracy`."""
    return tag.startswith(STAGES) and "/batch_" not in tag
