"""Predictions as a table."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sbn_lightning.run.files import PREDICTIONS, whole_file


class PredictionWriter(Callback):
    """Writes predictions.csv at the end of `predict`: a row per image, in the dataset's order.

    Columns: `image` (its number in the test set, from 0), `predicted` (class name), `probability` of that class,
    `label` (class name). On k processes, process r writes its own images r, r + k, r + 2k, … to predictions_r.csv.
    No tags.

    Args:
        run_dir: The run's folder.
    """

    def __init__(self, run_dir: str) -> None:
        self.run_dir = Path(run_dir)
        self.rows: list[tuple[int, str, str, str]] = []

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Tensor],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        probabilities, predicted = outputs["logits"].float().softmax(1).max(1)
        names = trainer.datamodule.class_names
        table = zip(predicted.tolist(), probabilities.tolist(), outputs["labels"].tolist(), strict=True)
        for prediction, probability, label in table:
            image = trainer.global_rank + len(self.rows) * trainer.world_size
            self.rows.append((image, names[prediction], f"{probability:.6f}", names[label]))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rank = "" if trainer.world_size == 1 else f"_{trainer.global_rank}"
        file = self.run_dir / PREDICTIONS.replace(".", f"{rank}.")
        with whole_file(file) as table:
            writer = csv.writer(table)
            writer.writerow(["image", "predicted", "probability", "label"])
            writer.writerows(self.rows)
        print(f"Written     {file}")
