"""What a training writes down: results.json for programs, text for people."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from sbn_lightning.callbacks.dashboard import last_step
from sbn_lightning.callbacks.metrics_logger import MetricsLogger
from sbn_lightning.callbacks.run_facts import peak_memory, run_facts
from sbn_lightning.callbacks.summary_text import dry_run_rows, end_rows, start_rows
from sbn_lightning.callbacks.training_facts import stopped_by, training_facts
from sbn_lightning.checkpointing.lightning_internals import epochs_done, log_no_value_twice, validate_after_training
from sbn_lightning.run import continuation, metrics_log
from sbn_lightning.run.epoch_table import write_epoch_table
from sbn_lightning.run.files import CHECKPOINTS, CONFIG, EPOCH_TABLE, METRICS, METRICS_TABLE, RESULTS
from sbn_lightning.run.records import FitResult, now
from sbn_lightning.tensorboard import BoardLogger
from sbn_lightning.terminal import show

UNEQUAL = 10  # times the smallest class: a class that is larger still is pointed out


class TrainingRecord(Callback):
    """Prints and writes down what a training is about to do, and what it gave.

    results.json is a run.records.Results: the facts of the run from the start of training on, and `fit` when training
    has ended. The end of training is validated, wherever it is, and writes metrics.csv and results.csv, from what the
    loggers have written to metrics.jsonl. With fast_dev_run all of this is printed, and nothing is written. No tags.

    Args:
        run_dir: The run's folder.
        seed: Of everything random.
        callbacks: A description of each callback that may change the training; see `describe_callbacks`.
        changes: The settings that are not those which the run was started with, as text.
        command: The command line.
    """

    state_key = "RunSummary"  # the name of this callback in the checkpoints of earlier versions

    def __init__(
        self,
        run_dir: Path,
        seed: int,
        callbacks: Sequence[str] = (),
        changes: Sequence[str] = (),
        command: str = "",
    ) -> None:
        self.run_dir = run_dir
        self.seed = seed
        self.command = command
        self.callbacks = callbacks
        self.changes = list(changes)  # with those of earlier starts, once they are loaded
        self.epochs: int | None = None  # that were asked for
        self.seen: dict[str, int] = {}  # {stage: images of its last measurement}
        self.validated_after = -1  # the number of steps before the last validation that the settings ask for
        self.seconds_before = 0.0  # of the starts that this one continues
        self.epoch_ends: dict[int, float] = {}  # {epoch: seconds until its end, of all starts together}
        self.first_step = 0  # of this start
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long the training has taken, all starts together."""
        return self.seconds_before + time.perf_counter() - self.started

    def state_dict(self) -> dict[str, Any]:
        state = {"changes": self.changes, "seen": self.seen, "validated_after": self.validated_after}
        return {"seconds": self.seconds, "epoch_ends": dict(self.epoch_ends), **state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds_before = float(state_dict["seconds"])
        self.epoch_ends = dict(state_dict.get("epoch_ends", {}))
        self.changes = [*state_dict.get("changes", []), *self.changes]
        self.seen = state_dict.get("seen", {})
        self.validated_after = state_dict.get("validated_after", self.first_step)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.first_step = checkpoint.get("global_step", 0)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.epochs = trainer.max_epochs  # before StochasticWeightAveraging adds one
        log_no_value_twice(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()
        # On every process: Lightning counts the batches together.
        training = training_facts(trainer, pl_module, self.seed, self.epochs, self.callbacks, self.changes)
        facts = run_facts(trainer, pl_module, training, self.command)
        if not trainer.is_global_zero:
            return
        if not trainer.fast_dev_run:
            continuation.start(self.run_dir, facts, self.first_step)
            for logger in trainer.loggers:
                if isinstance(logger, BoardLogger):
                    logger.start_run(facts, learning_rate(trainer))
        counts = trainer.datamodule.class_counts
        advice = pl_module.head.advice(counts)
        if counts.max() > UNEQUAL * counts.min():
            advice.append(
                f"The largest class has more than {UNEQUAL} times as many training images as the smallest: "
                "accuracy says little about the small classes; look at balanced_accuracy and macro_f1."
            )
        rows = start_rows(facts, self.run_dir, writes(trainer), trainer.limit_val_batches)
        show(*rows, *(("Warning", text) for text in advice))

    # Measures are read in hooks that come before the module's own: there it starts its metrics again.

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen["train"] = int(pl_module.train_metrics.compute()["images"])
        epoch = trainer.current_epoch + 1
        self.epoch_ends[epoch if self.epochs in (None, -1) else min(epoch, self.epochs)] = self.seconds

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.seen[trainer.datamodule.validation_stage] = int(pl_module.val_metrics.compute()["images"])
            self.validated_after = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        validated_after = self.validated_after
        if trainer.enable_validation and validated_after != trainer.global_step:
            validate_after_training(trainer)
            self.validated_after = validated_after  # best.ckpt is not chosen by the end's

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:
            show(*dry_run_rows(trainer.num_training_batches))
            return
        for logger in trainer.loggers:
            if isinstance(logger, BoardLogger):
                logger.end_run(self.state_dict()["seconds"] / 60, last_step(trainer))
            logger.save()
        rows = metrics_log.read_metrics(self.run_dir)
        done = epochs_done(trainer, self.epochs)
        metrics_log.write_table(self.run_dir, rows)
        write_epoch_table(self.run_dir, rows, self.epoch_ends, math.ceil(done))
        last = metrics_log.values_after(rows, trainer.global_step)
        result = FitResult(
            seconds=self.seconds,
            ended=now(),
            peak_memory_bytes=peak_memory(pl_module.device),
            last_epoch=math.ceil(done),
            step=trainer.global_step,
            last=last,
            best=metrics_log.best_validation(rows, self.validated_after, math.ceil(done)),
            epochs=metrics_log.epochs_of(rows, math.ceil(done)),
            epochs_done=done,
            stopped_by=stopped_by(trainer, done),
            seen={stage: count for stage, count in self.seen.items() if f"{stage}/accuracy" in last},
        )
        continuation.end(self.run_dir, result)
        show(*end_rows(result, trainer.datamodule.num_images, self.run_dir))

    @rank_zero_only
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if trainer.global_step <= self.first_step and not trainer.fast_dev_run:
            continuation.give_up(self.run_dir, self.first_step)


def learning_rate(trainer: Trainer) -> float:
    """The learning rate with which a run started, before its schedule changed it."""
    group = trainer.optimizers[0].param_groups[0]
    return float(group.get("initial_lr", group["lr"]))


def writes(trainer: Trainer) -> list[str]:
    """Return the names of what a training will write into its folder."""
    if trainer.fast_dev_run:
        return []
    others = [logger for logger in trainer.loggers if not isinstance(logger, MetricsLogger)]
    names = ("TensorBoard events" if isinstance(one, TensorBoardLogger) else type(one).__name__ for one in others)
    saves = [f"{CHECKPOINTS}/"] if any(isinstance(one, Checkpoint) for one in trainer.callbacks) else []
    return [CONFIG, RESULTS, METRICS, METRICS_TABLE, EPOCH_TABLE, *names, *saves]
