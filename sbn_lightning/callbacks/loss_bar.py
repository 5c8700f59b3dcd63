"""The progress bar."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from sbn_lightning.metrics import step_is_logged
from sbn_lightning.run.measures import shown_in


class LossBar(RichProgressBar):
    """Lightning's progress bar, with the loss and the accuracy of the last logged batch.

    They are read from the device in an epoch's first step and at the logging steps. What is logged with `prog_bar=True`
    Lightning reads in every step, and each time waits for the device. No tags.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=10)  # a second; drawn in every step it takes part of a core
        self._shown: dict[str, float] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.is_enabled and step_is_logged(trainer, trainer.global_step, batch_idx):
            names = [measure.name for measure in shown_in("bar")]
            logged = {name: trainer.callback_metrics.get(f"train/batch_{name}") for name in names}
            self._shown = {name: value.item() for name, value in logged.items() if value is not None}
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        return super().get_metrics(trainer, pl_module) | self._shown
