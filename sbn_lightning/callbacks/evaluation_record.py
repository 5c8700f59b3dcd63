"""What an evaluation writes down: results.json and arrays for programs, text for people."""

from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from sbn_lightning.callbacks.class_weight_norm import weight_norms
from sbn_lightning.callbacks.evaluation_text import evaluation_rows
from sbn_lightning.callbacks.outputs import class_accuracy, gather, write_arrays
from sbn_lightning.run.calibration import brier, calibrated, nll, refit
from sbn_lightning.run.identity import Evaluated
from sbn_lightning.run.measures import MEASURES
from sbn_lightning.run.metrics_log import shortest
from sbn_lightning.run.records import Evaluation, read_results, update_results
from sbn_lightning.terminal import show


class EvaluationRecord(Callback):
    """Prints and writes down what `sbn test` and `sbn validate` give.

    results.json gets an entry of `evaluations`: `test` of last.ckpt, `test_best` of best.ckpt, and so on by the
    checkpoint's name; `test_partial` if a part of the images was seen, which replaces nothing else. A test also writes
    the arrays of `write_arrays` as test.npz, and measures `nll`, the mean cross-entropy of the logits without margin or
    penalty, and `brier`. With fast_dev_run all of this is printed, and nothing is written. No tags.

    Args:
        run_dir: The run's folder.
        evaluated: The checkpoint that is evaluated.
    """

    def __init__(self, run_dir: Path, evaluated: Evaluated) -> None:
        self.run_dir = run_dir
        self.evaluated = evaluated
        self.outputs: list[tuple[Tensor, Tensor]] = []  # logits (n, C) and labels (n,) of each batch

    @rank_zero_only
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data, results = trainer.datamodule, read_results(self.run_dir)
        if not self.evaluated.is_trained_on(data.digest, results):
            show(("Other data", self.evaluated.other_images_text(data.num_images)))

    on_validation_start = on_test_start

    # Measures are read in hooks that come before the module's own: there it starts its metrics again.

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        measured = pl_module.val_metrics.compute()  # of all processes
        if trainer.is_global_zero:
            self._record(trainer, "val", measured)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self.outputs.append((outputs["logits"].float().cpu(), outputs["labels"].cpu()))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        measured = pl_module.test_metrics.compute()
        logits, labels = gather(self.outputs, trainer.world_size)
        self.outputs.clear()
        norms = weight_norms(pl_module.head)
        if trainer.is_global_zero:
            if not trainer.fast_dev_run:
                is_partial = len(labels) < trainer.datamodule.num_images["test"]
                file = self.run_dir / f"{self._entry(trainer, is_partial)}.npz"
                write_arrays(file, logits, labels, norms, trainer.datamodule.class_names)
            wide = logits.astype(np.float64)
            more = {"nll": nll(wide, labels), "brier": brier(wide, labels)}
            refitted = refit(wide, labels) if len(labels) > 1 else None
            of_classes = class_accuracy(logits, labels, trainer.datamodule.class_names)
            fields = {"refitted": refitted, "calibrated": calibrated(wide), "class_accuracy": of_classes}
            self._record(trainer, "test", measured, more, **fields)

    def _record(self, trainer: Trainer, stage: str, measured: Any, more: Any = (), **fields: Any) -> None:
        metrics = {measure.name: shortest(measured[measure.name].item()) for measure in MEASURES} | dict(more)
        images, correct = int(measured["images"]), int(measured["correct"])
        evaluated, available = self.evaluated, trainer.datamodule.num_images[stage]
        identity = {"step": evaluated.step, "sha256": evaluated.sha256, "data": trainer.datamodule.digest}
        fields |= identity | {"available": available}
        result = Evaluation(str(evaluated.file), stage, images, correct, metrics, **fields)
        name = self._entry(trainer, result.is_partial)
        if not trainer.fast_dev_run:
            update_results(self.run_dir, evaluations=read_results(self.run_dir).evaluations | {name: result})
        show(*evaluation_rows(result, name, None if trainer.fast_dev_run else self.run_dir))

    def _entry(self, trainer: Trainer, is_partial: bool) -> str:
        """The name of what the evaluation leaves."""
        results, digest = read_results(self.run_dir), trainer.datamodule.digest
        return self.evaluated.entry(trainer.state.fn.value, digest, results, is_partial)
