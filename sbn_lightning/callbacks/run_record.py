"""A run's record: results.json and the arrays of a test for programs, the same as text for people."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch import Tensor

from sbn_lightning.callbacks.class_weight_norm import weight_norms
from sbn_lightning.callbacks.run_facts import peak_memory, run_facts
from sbn_lightning.callbacks.summary_text import end_text, evaluation_text, start_text
from sbn_lightning.run.calibration import Labels, nll, refit
from sbn_lightning.run.files import LAST, RESULTS, whole_file
from sbn_lightning.run.measures import MEASURES
from sbn_lightning.run.metrics_log import epochs_of, is_stage_tag, read_metrics, write_table
from sbn_lightning.run.records import Evaluation, FitResult, Refitted, read_results, update_results, write_record

UNEQUAL = 10  # times the smallest class: a class that is larger still is pointed out
LOGIT_BINS = 600
"""Bins of the stored histograms, of equal width from the smallest logit to the largest."""
FLOAT16_MAX = 65504.0


class RunRecord(Callback):
    """Prints and writes down what a run is about to do, what its training gave, and what its evaluations gave.

    results.json is a run.records.Results: the facts of the run from the start of training on, `fit` when training has
    ended, and an entry of `evaluations` after each `sbn test` and `sbn validate`: `test` of last.ckpt, `test_best` of
    best.ckpt, and so on by the checkpoint's name. A test also writes the arrays of `write_arrays` as test.npz, and
    measures `nll`, the mean cross-entropy of the logits without margin or penalty. The end of training writes
    metrics.csv, from what the loggers have written to metrics.jsonl. No tags.

    Args:
        run_dir: The run's folder.
        seed: seed_everything of the run.
    """

    def __init__(self, run_dir: str, seed: int) -> None:
        self.run_dir = Path(run_dir)
        self.seed = seed
        self.seconds_before = 0.0  # of the starts that this one continues
        self.started = time.perf_counter()
        self.outputs: list[tuple[Tensor, Tensor]] = []  # logits (n, C) and labels (n,) of each test batch

    @property
    def state_key(self) -> str:
        return "RunSummary"  # the name of this callback in the checkpoints of earlier versions

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds_before + time.perf_counter() - self.started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds_before = state_dict["seconds"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()
        facts = run_facts(trainer, pl_module, self.seed)  # on every process: Lightning counts the steps together
        if not trainer.is_global_zero:
            return
        write_record(self.run_dir / RESULTS, facts)  # in place of that of a training that this one continues
        counts = trainer.datamodule.class_counts
        advice = pl_module.head.advice(counts)
        if counts.max() > UNEQUAL * counts.min():
            advice.append(
                f"The largest class has more than {UNEQUAL} times as many training images as the smallest: "
                "accuracy says little about the small classes; look at balanced_accuracy and macro_f1."
            )
        warnings = [f"Warning     {sentence}" for sentence in advice]
        print("\n".join([start_text(facts, self.run_dir), *warnings]), flush=True)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for logger in trainer.loggers:
            logger.save()
        rows = read_metrics(self.run_dir)
        write_table(self.run_dir, rows)
        epochs = epochs_of(rows)
        held_out = [epoch for epoch in epochs if "val/accuracy" in epoch]
        result = FitResult(
            seconds=self.seconds_before + time.perf_counter() - self.started,
            peak_memory_bytes=peak_memory(pl_module.device),
            last_epoch=trainer.current_epoch,
            last={tag: value.item() for tag, value in sorted(trainer.callback_metrics.items()) if is_stage_tag(tag)},
            best=max(held_out, key=lambda epoch: epoch["val/accuracy"], default=None),
            epochs=epochs,
        )
        update_results(self.run_dir, fit=result)
        print(end_text(result, self.run_dir), flush=True)

    # Evaluations are recorded in hooks that come before the module's own: there it starts its metrics again.

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._record_evaluation(trainer, "val", pl_module.val_metrics.compute())

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.outputs.clear()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.outputs.append((outputs["logits"].float().cpu(), outputs["labels"].cpu()))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        measured = pl_module.test_metrics.compute()
        logits, labels = self._gather(trainer.world_size)
        if trainer.is_global_zero:
            file = self.run_dir / f"{entry(trainer)}.npz"
            write_arrays(file, logits, labels, pl_module.head, trainer.datamodule.class_names)
            wide = logits.astype(np.float64)
            refitted = refit(wide, labels) if len(labels) > 1 else None
            self._record_evaluation(trainer, "test", measured, {"nll": nll(wide, labels)}, refitted)

    def _gather(self, world_size: int) -> tuple[NDArray[np.float32], Labels]:
        """Return logits (N, C) and labels (N,) of all processes in the dataset's order; every process must call it.

        Process r of k evaluates images r, r + k, r + 2k, …
        """
        own = tuple(torch.cat(parts).numpy() for parts in zip(*self.outputs, strict=True))
        parts: list[Any] = [own]
        if world_size > 1:
            parts = [None] * world_size
            torch.distributed.all_gather_object(parts, own)
        count = sum(len(labels) for _, labels in parts)
        logits, labels = np.empty((count, own[0].shape[1]), np.float32), np.empty(count, np.int64)
        for rank, part in enumerate(parts):
            logits[rank::world_size], labels[rank::world_size] = part
        return logits, labels

    @rank_zero_only
    def _record_evaluation(
        self,
        trainer: Trainer,
        stage: str,
        measured: dict[str, Tensor],
        more: dict[str, float] | None = None,
        refitted: Refitted | None = None,
    ) -> None:
        metrics = {measure.name: measured[measure.name].item() for measure in MEASURES} | (more or {})
        images, correct = int(measured["images"]), int(measured["correct"])
        result = Evaluation(str(trainer.ckpt_path), stage, images, correct, metrics, refitted)
        update_results(self.run_dir, evaluations=read_results(self.run_dir).evaluations | {entry(trainer): result})
        print(evaluation_text(result, self.run_dir), flush=True)


def entry(trainer: Trainer) -> str:
    """Return the name of what an evaluation leaves: `test` for last.ckpt, `test_best` for best.ckpt."""
    command, checkpoint = trainer.state.fn.value, Path(str(trainer.ckpt_path))
    return command if checkpoint.name == LAST else f"{command}_{checkpoint.stem}"


def write_arrays(file: Path, logits: NDArray[np.float32], labels: Labels, head: Any, class_names: list[str]) -> None:
    """Write what a test gave, so that nobody has to run the model again to look at it; NumPy reads it without pickle.

    - `logits` (N, C) float16, `predictions` (N,) int32 of the logits before they were rounded, and `labels` (N,) int32,
      all in the dataset's order
    - `logit_edges` (bins + 1,), `logit_counts` and `true_class_logit_counts` (bins,): Figure 2's histograms
    - `class_weight_norm` and `effective_class_weight_norm` (C,): Figure 3's, as trained and as inference uses them
    - `class_names` (C,)
    """
    own = logits[np.arange(len(labels)), labels]
    edges = bin_edges(logits)
    norm, effective_norm = weight_norms(head)
    arrays: dict[str, Any] = {
        "logits": logits.clip(-FLOAT16_MAX, FLOAT16_MAX).astype(np.float16),
        "predictions": logits.argmax(1).astype(np.int32),
        "labels": labels.astype(np.int32),
        "logit_edges": edges,
        "logit_counts": np.histogram(logits[np.isfinite(logits)], edges)[0],
        "true_class_logit_counts": np.histogram(own[np.isfinite(own)], edges)[0],
        "class_weight_norm": norm.numpy(),
        "effective_class_weight_norm": effective_norm.numpy(),
        "class_names": np.array(class_names, dtype=np.str_),
    }
    with whole_file(file, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def bin_edges(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (LOGIT_BINS + 1,) edges from the smallest finite logit to the largest, with an empty bin at each end."""
    finite = logits[np.isfinite(logits)]
    lower, upper = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    width = max((upper - lower) / (LOGIT_BINS - 3), 1e-6 * max(1.0, abs(lower)))  # one to spare: edges are rounded
    return lower - 1.5 * width + width * np.arange(LOGIT_BINS + 1, dtype=np.float64)
