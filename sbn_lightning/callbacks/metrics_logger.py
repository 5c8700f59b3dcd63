"""The logger of metrics.jsonl."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from sbn_lightning.run import metrics_log


class MetricsLogger(Logger):
    """Appends what is logged to the run's metrics.jsonl; see run.metrics_log.

    The file is written when training starts, before each checkpoint, and when training ends or fails: it holds at least
    what was logged up to the last checkpoint. A training that continues another one, at the step `continues_at`, drops
    what that one logged from there on, or after the file had the given size.
    """

    name, version = "metrics", ""

    def __init__(self, run_dir: str, continues_at: int = 0, size: int | None = None) -> None:
        super().__init__()
        self.run_dir = Path(run_dir)
        self.continues_at, self.size = continues_at, size
        self._lines: list[str] = []  # that are not in the file yet
        self._has_started = False

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {tag: metrics_log.shortest(float(value)) for tag, value in metrics.items() if tag != "epoch"}
        if "epoch" in metrics:
            values["epoch"] = int(metrics["epoch"]) + 1
        self._lines.append(metrics_log.metrics_line(step or 0, values))

    @rank_zero_only
    def save(self) -> None:
        if not self._has_started:
            metrics_log.keep_metrics_before(self.run_dir, self.continues_at, self.size)
            self._has_started = True
        metrics_log.append_lines(self.run_dir, self._lines)
        self._lines.clear()

    def finalize(self, status: str) -> None:
        if self._lines:
            self.save()
