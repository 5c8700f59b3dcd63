"""What a person sees while a training, test or prediction runs: a bar on a terminal, and lines of epochs."""

import math
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich import get_console
from rich.live import Live
from rich.text import Text

from sbn_lightning.callbacks.bar import NAME_STYLE, Field, fitted
from sbn_lightning.callbacks.status import Status
from sbn_lightning.metrics import step_is_logged
from sbn_lightning.terminal import columns

REFRESH_RATE = 4
"""How many times a second the bar is drawn."""
LINE_EVERY = 5.0
"""Seconds between two lines of epochs, at least."""
READ_EVERY = 10.0
"""Seconds after which the bar's loss is read in a step that is not logged: of slow steps few are."""
SILENT_FOR = 600.0
"""Seconds without a bar after which a line says how far an epoch is."""


class Progress(ProgressBar):
    """Shows how far a training, test or prediction is, how fast it is, and when it will end. No tags.

    On a terminal a bar is shown while it runs. Of a training it says: what is left of the epoch; the mean loss of the
    epoch so far; the learning rate; images per second; the accuracy of the last validation; the memory that is taken on
    a GPU; and what is left in all, with validations and pictures (≤: at most, since EarlyStopping may end it before).
    Of an evaluation it says how many images it has seen. What has no room in the terminal's width is left out.

    An epoch leaves a line, on a terminal and in the output of a job: its mean loss and training accuracy, the accuracy
    of its validation, the learning rate, its duration, and what is left in all. Short epochs leave none for 5 seconds
    after the last line, but the first and the last epoch always do. Without a terminal, a line every 10 minutes says
    how far a long epoch is.

    With `trainer.enable_progress_bar false`, or with another progress bar in `trainer.callbacks`, none of this is
    shown. The bar's loss is read from the device in an epoch's first step, in those that are logged, and after 10
    seconds. A thread draws the bar four times a second, however long a step takes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_enabled = True
        self._status = Status(None)
        self._live: Live | None = None  # while there is a bar
        self._unsaid: list[Field] = []  # the line of the last epoch, if that left none
        self._said_at = self._read_at = -math.inf

    def disable(self) -> None:
        self.is_enabled = False

    def enable(self) -> None:
        self.is_enabled = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._status = Status(trainer.max_epochs)  # before StochasticWeightAveraging adds one

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._status.start_training(trainer)
        self._show_bar()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._status.start_epoch(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._status.batch_ended(batch_idx)
        now = self._status.epoch.updated
        if self._live:
            if step_is_logged(trainer, trainer.global_step, batch_idx) or now - self._read_at > READ_EVERY:
                self._read_at = now
                self._status.read(trainer, pl_module)
        elif self.is_enabled and now - max(self._status.epoch.started, self._said_at) > SILENT_FOR:
            self._status.read(trainer, pl_module)
            self._say(self._status.line_within())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        measured = pl_module.train_metrics.compute()  # of all processes
        self._status.epoch_ended()
        if self.is_enabled:
            self._unsaid = self._status.line(measured["loss"].item(), measured["accuracy"].item())
            if time.monotonic() - self._said_at >= LINE_EVERY:
                self._say(self._unsaid)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._unsaid:
            self._say(self._unsaid)
        self._status.is_training = False
        self._hide_bar()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._status.start_evaluation(trainer)
        self._show_bar()

    on_test_start = on_predict_start = on_validation_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._status.batch_ended(batch_idx)

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._status.is_training:
            self._hide_bar()  # before other callbacks print the result

    on_test_epoch_end = on_predict_epoch_end = on_validation_epoch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._status.is_training:
            self._status.end_evaluation(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._hide_bar()

    def _say(self, line: list[Field]) -> None:
        text = Text(fitted(line, columns()))
        text.stylize(NAME_STYLE, 0, len(line[0].text))
        get_console().print(text, soft_wrap=True)
        self._unsaid, self._said_at = [], time.monotonic()

    def _show_bar(self) -> None:
        console = get_console()
        if self.is_enabled and self._live is None and console.is_interactive:
            get_bar = self._status.bar
            self._live = Live(console=console, get_renderable=get_bar, refresh_per_second=REFRESH_RATE, transient=True)
            self._live.start(refresh=True)

    def _hide_bar(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None
