"""What a run writes down: metrics.jsonl, results.json and the outputs of evaluations for programs, text for people."""

import math
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from sbn_lightning.callbacks.outputs import gather, write_arrays, write_predictions
from sbn_lightning.callbacks.run_facts import peak_memory, run_facts
from sbn_lightning.callbacks.summary_text import dry_run_text, end_text, evaluation_text, prediction_text, start_text
from sbn_lightning.callbacks.training_facts import stopped_by, training_facts
from sbn_lightning.checkpointing.lightning_internals import epochs_done, validate_after_training
from sbn_lightning.run import continuation, metrics_log
from sbn_lightning.run.calibration import brier, calibrated, nll, refit
from sbn_lightning.run.files import CHECKPOINTS, CONFIG, METRICS, METRICS_TABLE, PREDICTIONS, RESULTS
from sbn_lightning.run.identity import Evaluated
from sbn_lightning.run.measures import MEASURES
from sbn_lightning.run.records import Evaluation, FitResult, read_results, update_results

UNEQUAL = 10  # times the smallest class: a class that is larger still is pointed out


class RunRecord(Callback):
    """Prints and writes down what a run is about to do, what its training gave, and what its evaluations gave.

    results.json is a run.records.Results: the facts of the run from the start of training on, `fit` when training has
    ended, and an entry of `evaluations` after each `sbn test` and `sbn validate`: `test` of last.ckpt, `test_best` of
    best.ckpt, and so on by the checkpoint's name; `test_partial` if a part of the images was seen, which replaces
    nothing else. A test also writes the arrays of `write_arrays` as test.npz, and measures `nll`, the mean
    cross-entropy of the logits without margin or penalty, and `brier`. The end of training is validated, wherever it
    is, and writes metrics.csv, from what the loggers have written to metrics.jsonl. `sbn predict` writes
    predictions.csv. With fast_dev_run all of this is printed, and nothing is written. No tags.

    Args:
        run_dir: The run's folder.
        seed: Of everything random.
        evaluated: The checkpoint that is evaluated; None for a training.
        callbacks: A description of each callback that may change the training; see `describe_callbacks`.
        changes: The settings that are not those which the run was started with, as text.
    """

    state_key = "RunSummary"  # the name of this callback in the checkpoints of earlier versions

    def __init__(
        self,
        run_dir: str,
        seed: int,
        evaluated: Evaluated | None = None,
        callbacks: Sequence[str] = (),
        changes: Sequence[str] = (),
    ) -> None:
        self.run_dir = Path(run_dir)
        self.seed = seed
        self._evaluated = evaluated
        self.callbacks = callbacks
        self.changes = list(changes)  # with those of earlier starts, once they are loaded
        self.epochs: int | None = None  # that were asked for
        self.seen: dict[str, int] = {}  # {stage: images of its last measurement}
        self.validated_after = -1  # the number of steps before the last validation
        self.best: dict[str, float] | None = None  # the validation that best.ckpt was saved after
        self.seconds_before = 0.0  # of the starts that this one continues
        self.first_step = 0  # of this start
        self.started = time.perf_counter()
        self.outputs: list[tuple[Tensor, Tensor]] = []  # logits (n, C) and labels (n,) of each batch

    def state_dict(self) -> dict[str, Any]:
        seconds = self.seconds_before + time.perf_counter() - self.started
        state = {"changes": self.changes, "seen": self.seen, "validated_after": self.validated_after}
        return {"seconds": seconds, **state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds_before = float(state_dict["seconds"])
        self.changes = [*state_dict.get("changes", []), *self.changes]
        self.seen = state_dict.get("seen", {})
        self.validated_after = state_dict.get("validated_after", -1)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.first_step = checkpoint.get("global_step", 0)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.epochs = trainer.max_epochs  # before StochasticWeightAveraging adds one

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()
        # On every process: Lightning counts the batches together.
        training = training_facts(trainer, pl_module, self.seed, self.epochs, self.callbacks, self.changes)
        facts = run_facts(trainer, pl_module, training)
        if not trainer.is_global_zero:
            return
        if not trainer.fast_dev_run:
            continuation.start(self.run_dir, facts, self.first_step)
        counts = trainer.datamodule.class_counts
        advice = pl_module.head.advice(counts)
        if counts.max() > UNEQUAL * counts.min():
            advice.append(
                f"The largest class has more than {UNEQUAL} times as many training images as the smallest: "
                "accuracy says little about the small classes; look at balanced_accuracy and macro_f1."
            )
        text = start_text(facts, self.run_dir, writes(trainer), trainer.limit_val_batches)
        print(text, *(f"Warning     {text}" for text in advice), sep="\n", flush=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen["train"] = int(pl_module.train_metrics.compute()["images"])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.fast_dev_run:  # the validation that follows is saved as no best.ckpt
            self.best = metrics_log.best_validation(self._logged(trainer), trainer.global_step)
        if trainer.enable_validation and self.validated_after != trainer.global_step:
            validate_after_training(trainer)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:
            print(dry_run_text(trainer.num_training_batches), flush=True)
            return
        rows = self._logged(trainer)
        metrics_log.write_table(self.run_dir, rows)
        done = epochs_done(trainer)
        last = metrics_log.values_after(rows, trainer.global_step)
        result = FitResult(
            seconds=self.state_dict()["seconds"],
            peak_memory_bytes=peak_memory(pl_module.device),
            last_epoch=math.ceil(done),
            step=trainer.global_step,
            last=last,
            best=self.best,
            epochs=metrics_log.epochs_of(rows, math.ceil(done)),
            epochs_done=done,
            stopped_by=stopped_by(trainer, done),
            seen={stage: count for stage, count in self.seen.items() if f"{stage}/accuracy" in last},
        )
        continuation.end(self.run_dir, result)
        print(end_text(result, trainer.datamodule.num_images, self.run_dir), flush=True)

    def _logged(self, trainer: Trainer) -> metrics_log.Rows:
        """Everything that was logged so far."""
        for logger in trainer.loggers:
            logger.save()
        return metrics_log.read_metrics(self.run_dir)

    @rank_zero_only
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if trainer.state.fn == "fit" and trainer.global_step <= self.first_step and not trainer.fast_dev_run:
            continuation.give_up(self.run_dir, self.first_step)

    # Measures are read in hooks that come before the module's own: there it starts its metrics again.

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        measured = pl_module.val_metrics.compute()  # of all processes
        if trainer.state.fn == "fit":
            self.seen[trainer.datamodule.validation_stage] = int(measured["images"])
            self.validated_after = trainer.global_step
        elif trainer.is_global_zero:
            self._record_evaluation(trainer, "val", measured)

    @rank_zero_only
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data, results = trainer.datamodule, read_results(self.run_dir)
        if not self.evaluated.is_trained_on(data.digest, results):
            print(self.evaluated.other_images_text(data.num_images), flush=True)

    on_predict_start = on_test_start

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self.on_test_start(trainer, pl_module)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self.outputs.append((outputs["logits"].float().cpu(), outputs["labels"].cpu()))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        measured = pl_module.test_metrics.compute()
        logits, labels = gather(self.outputs, trainer.world_size)
        self.outputs.clear()
        if trainer.is_global_zero:
            if not trainer.fast_dev_run:
                is_partial = len(labels) < trainer.datamodule.num_images["test"]
                file = self.run_dir / f"{self._entry(trainer, is_partial)}.npz"
                write_arrays(file, logits, labels, pl_module.head, trainer.datamodule.class_names)
            wide = logits.astype(np.float64)
            more = {"nll": nll(wide, labels), "brier": brier(wide, labels)}
            refitted = refit(wide, labels) if len(labels) > 1 else None
            self._record_evaluation(trainer, "test", measured, more, refitted=refitted, calibrated=calibrated(wide))

    def _record_evaluation(self, trainer: Trainer, stage: str, measured: Any, more: Any = (), **fields: Any) -> None:
        metrics = {measure.name: measured[measure.name].item() for measure in MEASURES} | dict(more)
        images, correct = int(measured["images"]), int(measured["correct"])
        evaluated, available = self.evaluated, trainer.datamodule.num_images[stage]
        identity = {"step": evaluated.step, "sha256": evaluated.sha256, "data": trainer.datamodule.digest}
        fields |= identity | {"available": available}
        result = Evaluation(str(evaluated.file), stage, images, correct, metrics, **fields)
        name = self._entry(trainer, result.is_partial)
        if not trainer.fast_dev_run:
            update_results(self.run_dir, evaluations=read_results(self.run_dir).evaluations | {name: result})
        print(evaluation_text(result, name, None if trainer.fast_dev_run else self.run_dir), flush=True)

    @property
    def evaluated(self) -> Evaluated:
        """The checkpoint that is evaluated."""
        if self._evaluated is None:
            raise ValueError("the RunRecord of an evaluation needs the checkpoint that is evaluated")
        return self._evaluated

    def _entry(self, trainer: Trainer, is_partial: bool) -> str:
        """The name of what the evaluation leaves."""
        results, digest = read_results(self.run_dir), trainer.datamodule.digest
        return self.evaluated.entry(trainer.state.fn.value, digest, results, is_partial)

    on_predict_batch_end = on_test_batch_end

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        logits, labels = gather(self.outputs, trainer.world_size)
        self.outputs.clear()
        if trainer.is_global_zero and not trainer.fast_dev_run:
            available = trainer.datamodule.num_images["test"]
            name = self._entry(trainer, len(labels) < available).replace("predict", PREDICTIONS, 1)
            file = self.run_dir / f"{name}.csv"
            data = trainer.datamodule
            write_predictions(file, logits, labels, data.class_names, data.file_names("test"))
            print(prediction_text(file, len(labels), available))


def writes(trainer: Trainer) -> list[str]:
    """Return the names of what a training will write into its folder."""
    if trainer.fast_dev_run:
        return []
    others = [logger for logger in trainer.loggers if not isinstance(logger, MetricsLogger)]
    names = ("TensorBoard events" if isinstance(one, TensorBoardLogger) else type(one).__name__ for one in others)
    saves = [f"{CHECKPOINTS}/"] if any(isinstance(one, Checkpoint) for one in trainer.callbacks) else []
    return [CONFIG, RESULTS, METRICS, METRICS_TABLE, *names, *saves]


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
        values = {tag: int(value) + 1 if tag == "epoch" else float(value) for tag, value in metrics.items()}
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
