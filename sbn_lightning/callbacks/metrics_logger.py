"""Every scalar of a training run, for programs that read JSON lines and for `sbn report`."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from sbn_lightning.run.metrics_log import append_lines, keep_metrics_before, metrics_line


class MetricsLogger(Logger):
    """Appends what is logged to the run's metrics.jsonl; see run.metrics_log.

    The file is written when training starts, before each checkpoint, and when training ends or fails: it holds at least
    what was logged up to the last checkpoint.

    Args:
        run_dir: The run's folder.
        continues_at: Step at which this training continues another one: what that one logged from there on is dropped.
    """

    name, version = "metrics", ""

    def __init__(self, run_dir: str, continues_at: int = 0) -> None:
        super().__init__()
        self.run_dir = Path(run_dir)
        self.continues_at = continues_at
        self._lines: list[str] = []  # that are not in the file yet
        self._has_started = False

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {tag: int(value) + 1 if tag == "epoch" else float(value) for tag, value in metrics.items()}
        self._lines.append(metrics_line(step or 0, values))

    @rank_zero_only
    def save(self) -> None:
        if not self._has_started:
            keep_metrics_before(self.run_dir, self.continues_at)
            self._has_started = True
        append_lines(self.run_dir, self._lines)
        self._lines.clear()

    def finalize(self, status: str) -> None:
        if self._lines:
            self.save()
