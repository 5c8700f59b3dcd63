"""What an evaluation gave: as text for people, in results.json and test.npz for machines."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from sbn_lightning.callbacks.evaluation_record import EvaluationRecord, calibration_facts, write_record
from sbn_lightning.callbacks.summary_text import evaluation_text
from sbn_lightning.run.results_file import update_results


class EvaluationSummary(Callback):
    """Prints the result of `test` or `validate` and adds it to the run's folder.

    results.json gets an entry `test` or `validate` for last.ckpt, `test_best` for best.ckpt, and so on by the
    checkpoint's name: checkpoint, images, correct, the metrics; and of a test `test/nll`, the mean cross-entropy of the
    logits without margin or penalty, and `refitted`, nll, calibration_error and scales after Refitted. The test's
    logits and what the figures are drawn from go into a file of the entry's name, test.npz: see write_record.

    Args:
        run_dir: The run's folder.
    """

    def __init__(self, run_dir: str) -> None:
        self.run_dir = Path(run_dir)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._evaluated(trainer, "val", {})

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.record = EvaluationRecord()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.record.add(outputs["logits"], outputs["labels"])

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        logits, labels = self.record.gather(trainer.world_size)
        if trainer.is_global_zero:
            file = self.run_dir / f"{entry(trainer)}.npz"
            write_record(file, logits, labels, pl_module.head, trainer.datamodule.class_names)
            self._evaluated(trainer, "test", calibration_facts(logits, labels))

    @rank_zero_only
    def _evaluated(self, trainer: Trainer, stage: str, more: dict[str, Any]) -> None:
        metrics = {name: value.item() for name, value in sorted(trainer.callback_metrics.items())}
        images = trainer.datamodule.num_images[stage]
        correct = round(metrics[f"{stage}/accuracy"] * images)  # float32 tells counts apart up to 8 million images
        result = {"checkpoint": str(trainer.ckpt_path), "images": images, "correct": correct} | metrics | more
        update_results(self.run_dir, {entry(trainer): result})
        print(evaluation_text(result, stage, self.run_dir / "results.json"), flush=True)


def entry(trainer: Trainer) -> str:
    """Name of what an evaluation leaves: `test` for last.ckpt, `test_best` for best.ckpt."""
    command, checkpoint = trainer.state.fn.value, Path(str(trainer.ckpt_path)).stem
    return command if checkpoint == "last" else f"{command}_{checkpoint}"
