"""When a run's checkpoint is written, and what happens when the process is asked to end."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from sbn_lightning.checkpointing.callbacks_state import has_stopped_early, restore_trained_parts, trained_parts
from sbn_lightning.checkpointing.lightning_internals import call_between_steps
from sbn_lightning.checkpointing.process_state import process_state, restore_process
from sbn_lightning.checkpointing.stop_signals import KILL, StopSignals, end_other_processes, end_process, signal_name
from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import BEST, LAST, replace_by_link
from sbn_lightning.run.metrics_log import size_of_metrics
from sbn_lightning.terminal import EMPTY, show

MONITOR = "val/accuracy"


@dataclass(frozen=True)
class CheckpointRule:
    """When a training writes its checkpoint, besides at its end and when it is asked to stop.

    Args:
        every_n_epochs: Epochs between two checkpoints.
        every_n_steps: Optimizer steps between two checkpoints; null for no such rule.
        every_n_minutes: Minutes between two checkpoints; null for no such rule.

    Raises:
        UsageError: If one of them is not positive.
    """

    every_n_epochs: int = 1
    every_n_steps: int | None = None
    every_n_minutes: float | None = 10.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise UsageError(f"checkpoint.{name} is {value}; it must be positive")

    def is_due(self, step: int, epoch: int | None, seconds: float) -> bool:
        """Whether to write one after this step, which ends this epoch, this number of seconds after the last one."""
        return (
            (epoch is not None and epoch % self.every_n_epochs == 0)
            or (self.every_n_steps is not None and step % self.every_n_steps == 0)
            or (self.every_n_minutes is not None and seconds >= 60 * self.every_n_minutes)
        )


class RunCheckpoint(Checkpoint):
    """Writes checkpoints/last.ckpt between two steps, whenever it is due or the process is asked to end.

    It is due as the rule says, and at the end of training. On SIGTERM, SIGUSR1 or SIGINT the step, and a validation
    that follows it, are finished, the checkpoint is written, and the process ends with 128 + the signal's number. On
    several processes it is enough that one of them is asked. Lightning calls `Checkpoint` callbacks last: the random
    numbers that others draw at the start are drawn before the saved state is restored.

    Args:
        folder: Of the checkpoints.
        settings: Of the run, as plain data.
        rule: When the checkpoint is due.
        keep_best: Whether best.ckpt becomes the same file as last.ckpt after each epoch whose accuracy on held-out
            images is the best so far.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], rule: CheckpointRule, keep_best: bool) -> None:
        self.last, self.best = folder / LAST, folder / BEST
        self.settings = settings
        self.rule = rule
        self.keep_best = keep_best
        self.best_score, self.best_step = -1.0, 0
        self._is_best = False  # whether a validation since the last step was the best so far
        self._signals = StopSignals()
        self._saved_step, self._saved_at = 0, 0.0
        self._loaded: dict[str, Any] = {}  # parts of the checkpoint that is continued
        self._group: Any = None  # of all processes, communicating by their hosts

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score, self.best_step = float(state_dict["best_score"]), int(state_dict["best_step"])

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        processes = [process_state(pl_module)] * trainer.world_size
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(processes, processes[trainer.global_rank])
        checkpoint["processes"] = processes
        checkpoint["callback_metrics"] = move_data_to_device(trainer.callback_metrics, "cpu")
        checkpoint["run"] = {
            "settings": self.settings,
            "images": dict(trainer.datamodule.num_images),
            "buffers": [name for name, _ in pl_module.named_buffers()],  # the rest of the model's state is weights
            "trained": trained_parts(pl_module),
            "metrics_size": size_of_metrics(self.last.parent.parent),
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trained := checkpoint.get("run", {}).get("trained"):
            restore_trained_parts(trained, pl_module)
        parts = ("callback_metrics", "processes", "global_step")
        self._loaded = {name: checkpoint[name] for name in parts if name in checkpoint}
        there, here = checkpoint.get("run", {}).get("images"), dict(trainer.datamodule.num_images)
        if there and there != here:  # the settings do not tell if a folder's content has changed
            counts = "; ".join(f"{s}: {there.get(s, 0):,} there, {here.get(s, 0):,} here" for s in there | here)
            raise UsageError(
                f"the checkpoint is of a training on other images than the command's ({counts}); continue it on the "
                "same images, or train into another folder with --run_dir DIR"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.callback_metrics.update(self._loaded.get("callback_metrics", {}))
        if trainer.world_size > 1:
            self._group = torch.distributed.new_group(backend="gloo")  # on NCCL every question would wait for the GPUs
        if self.keep_best and trainer.is_global_zero and self._loaded.get("global_step") == self.best_step > 0:
            replace_by_link(Path(trainer.ckpt_path), self.best)  # in case it was killed before it linked best.ckpt

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if processes := self._loaded.pop("processes", []):
            restore_process(processes, trainer, pl_module)
        trainer.should_stop = trainer.should_stop or has_stopped_early(trainer)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        self._signals.training = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._signals.install(trainer)
        call_between_steps(trainer, partial(self._between_steps, trainer))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.keep_best and not trainer.sanity_checking:
            score = float(trainer.callback_metrics.get(MONITOR, -1.0))
            if score > self.best_score:
                self.best_score, self._is_best = score, True

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._signals.restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._signals.restore()
        if not isinstance(exception, SystemExit):
            end_other_processes(trainer, KILL)  # they would wait for this one

    def _between_steps(self, trainer: Trainer, epoch_ended: bool, training_ends: bool) -> None:
        step, epoch = trainer.global_step, trainer.current_epoch if epoch_ended else None
        is_due = training_ends or self.rule.is_due(step, epoch, time.monotonic() - self._saved_at)
        received, due = self._largest_of_all(self._signals.received, is_due)
        is_best, self._is_best = self._is_best, False
        if is_best:
            self.best_step = step
        if (due or received or is_best) and step != self._saved_step:
            self._save(trainer)
        if is_best and trainer.is_global_zero:
            replace_by_link(self.last, self.best)
        if received:
            if trainer.is_global_zero:
                stopped = f"by {signal_name(received)} after step {step:,}; saved {self.last}"
                show(EMPTY, ("Stopped", stopped), ("Continue", "with the same command and --ckpt_path last"))
            end_process(trainer, received)

    def _largest_of_all(self, *values: int) -> tuple[int, ...]:
        """Return the largest of each value over all processes, which must all ask together."""
        if self._group is None:
            return values
        tensor = torch.tensor(values)
        torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX, self._group)
        return tuple(tensor.tolist())

    def _save(self, trainer: Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()  # what was logged before a checkpoint must not be lost with the process
        trainer.save_checkpoint(self.last, weights_only=False)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
