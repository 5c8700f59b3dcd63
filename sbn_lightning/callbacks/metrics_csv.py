"""Every scalar of a training run as one table, for pandas, a spreadsheet or `sbn report`."""

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import whole_file


class MetricsCSV(Logger):
    """Writes metrics.csv: a row per step at which something was logged, a column per tag, blank where a row has none.

    Columns: `epoch` (from 1), `step` (optimizer steps from 0, TensorBoard's x axis), then the tags in alphabetical
    order. The file is replaced as a whole when a checkpoint is written and at the end of training, so a reader never
    sees half of it, and it holds at least what happened up to the last checkpoint.

    Args:
        run_dir: The run's folder.
        continues_at: Step at which this training continues another one, whose table is taken up without what it logged
            from there on; None for a new training.
    """

    def __init__(self, run_dir: str, continues_at: int | None = None) -> None:
        super().__init__()
        self.file = Path(run_dir) / "metrics.csv"
        former = read_metrics(self.file) if continues_at is not None else {}
        self.rows = {step: row for step, row in former.items() if step < (continues_at or 0)}

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.file.parent)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = self.rows.setdefault(step or 0, {})
        for tag, value in metrics.items():
            row[tag] = int(value) + 1 if tag == "epoch" else float(value)

    @rank_zero_only
    def write(self) -> None:
        """Write the table as it stands."""
        tags = sorted({tag for row in self.rows.values() for tag in row} - {"epoch"})
        with whole_file(self.file, "w") as stream:
            writer = csv.DictWriter(stream, ["epoch", "step", *tags], restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows({"step": step, **row} for step, row in sorted(self.rows.items()))

    def finalize(self, status: str) -> None:
        if self.rows:
            self.write()

    def epochs(self) -> list[dict[str, float]]:
        """The metrics of whole stages (`train/…`, `val/…`, `test_each_epoch/…`), for each epoch that has such."""
        epochs: dict[float, dict[str, float]] = {}
        for _, row in sorted(self.rows.items()):
            stages = {tag: value for tag, value in row.items() if is_stage_metric(tag)}
            if stages and "epoch" in row:
                epochs.setdefault(row["epoch"], {"epoch": row["epoch"]}).update(stages)
        return list(epochs.values())


def is_stage_metric(tag: str) -> bool:
    """Whether a tag is measured over a whole epoch's images, e.g. `train/accuracy`."""
    return tag.startswith(("train/", "val/", "test_each_epoch/")) and "/batch_" not in tag


def read_metrics(file: Path) -> dict[int, dict[str, float]]:
    """{step: {tag: value}} of a metrics.csv; nothing if there is no such file.

    Raises:
        UsageError: If it holds something else.
    """
    if not file.is_file():
        return {}
    try:
        with open(file, newline="") as stream:
            return {
                int(row.pop("step")): {
                    tag: int(value) if tag == "epoch" else float(value) for tag, value in row.items() if value != ""
                }
                for row in csv.DictReader(stream)
            }
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{file} is damaged; remove it to continue the run without the curves so far") from error
