"""metrics.jsonl: every scalar that a training logged, appended line by line: {"step": 49, "epoch": 1, tag: value, …}.

`step` counts optimizer steps from 0 (TensorBoard's x axis), `epoch` counts from 1.
"""

import csv
import json
from pathlib import Path

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import METRICS, METRICS_TABLE

Rows = dict[int, dict[str, float]]


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
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"{file} is damaged; remove it to continue the run without the curves so far") from error
    return rows


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
