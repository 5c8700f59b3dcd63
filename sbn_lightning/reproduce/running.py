"""How far a run is that a process trains or tests now."""

import time
from dataclasses import dataclass
from pathlib import Path

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import METRICS, RESULTS
from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import read_results

WATCHED = ("val/accuracy", "test_each_epoch/accuracy")


@dataclass
class Running:
    """A run at work, as this process has seen it; times are those of time.time().

    Attributes:
        since: When it was seen first.
        epoch: Number of epochs that have ended.
        epochs: Number of planned ones; None while it is not known, or where something else ends the training.
        accuracy: The last one on held-out images, or else on the test set; None before the first.
        first, last: (time, number) of the first and of the last epoch whose end was seen.
        has_started: Whether its training, with the steps, has started; before, the data are read, for example.
        trained: When the training was seen to have ended; None before.
    """

    since: float
    epoch: int = 0
    epochs: int | None = None
    accuracy: float | None = None
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None
    has_started: bool = False
    trained: float | None = None
    read: tuple[int, ...] = ()  # when the files changed that were read last

    def look(self, folder: Path) -> None:
        """Read how far it is; what cannot be read now is read at the next look."""
        files = [file for name in (RESULTS, METRICS) if (file := folder / name).exists()]
        changed = tuple(file.stat().st_mtime_ns for file in files)
        if changed == self.read:
            return
        try:
            results, rows = read_results(folder), read_metrics(folder)
        except UsageError:
            return
        self.read, now = changed, time.time()
        self.has_started = results.training is not None
        self.epochs = results.training.epochs if results.training and results.training.epochs != -1 else None
        self.epoch = max((int(row.get("epoch", 0)) for row in rows.values() if "train/accuracy" in row), default=0)
        accuracies = [row[tag] for _, row in sorted(rows.items()) for tag in WATCHED if tag in row]
        self.accuracy = accuracies[-1] if accuracies else None
        if self.epoch and (self.last is None or self.epoch > self.last[1]):
            self.last = now, self.epoch
            self.first = self.first or self.last
        if results.trained:
            self.trained = self.trained or now

    def training_left(self, now: float) -> float | None:
        """Return the seconds until the training ends, by its own pace; None before two epochs were seen to end."""
        if not self.epochs or not self.first or not self.last or self.first == self.last:
            return None
        pace = (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])
        return pace * (self.epochs - self.last[1]) - (now - self.last[0])
