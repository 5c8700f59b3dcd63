"""Predictions as a table."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class PredictionWriter(Callback):
    """Writes predictions.csv at the end of `predict`: a row per image, in the dataset's order.

    Columns: `image` (its number in the test set, from 0), `predicted` (class name), `probability` of that class,
    `label`. Of k processes each writes its own images, numbers r, r + k, r + 2k, …, as predictions_r.csv.

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
        name = "predictions.csv" if trainer.world_size == 1 else f"predictions_{trainer.global_rank}.csv"
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with open(self.run_dir / name, "w", newline="") as table:
            writer = csv.writer(table)
            writer.writerow(["image", "predicted", "probability", "label"])
            writer.writerows(self.rows)
        print(f"Written     {self.run_dir / name}")
