"""When a run's checkpoint is written, and what happens when the process is asked to end."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from sbn_lightning.checkpointing.lightning_internals import call_between_steps, repeat_validation
from sbn_lightning.checkpointing.stop_signals import StopSignals, exit_code
from sbn_lightning.errors import UsageError

MONITOR = "val/accuracy"


class RunCheckpoint(Checkpoint):
    """Writes checkpoints/last.ckpt between two steps, whenever it is due or the process is asked to end.

    Due: after every so many epochs, steps and minutes, and at the end of training. On SIGTERM, SIGUSR1 or SIGINT the
    step (in a validation, the batch) is finished, the checkpoint is written, and the process ends with 128 + the
    signal's number; a validation under way is repeated by the run that continues. On several processes it is enough
    that one of them is asked.

    `checkpoint["run"]` holds the settings, and the number of images and names of the buffers, for later comparison.

    Args:
        folder: Of the checkpoints.
        settings: Of the run, as plain data.
        every_n_epochs: Epochs between two checkpoints, at least 1.
        every_n_steps: Optimizer steps between two checkpoints; None for no such rule.
        every_n_minutes: Minutes between two checkpoints; None for no such rule.
        link_best: Called with (last.ckpt, best.ckpt) after an epoch whose accuracy on held-out images is the best so
            far; None where nothing is held out.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
        every_n_minutes: float | None = 10.0,
        link_best: Callable[[Path, Path], None] | None = None,
    ) -> None:
        self.last, self.best = folder / "last.ckpt", folder / "best.ckpt"
        self.settings = settings
        self.every_n_epochs = every_n_epochs
        self.every_n_steps = every_n_steps
        self.every_n_minutes = every_n_minutes
        self.link_best = link_best
        self.best_score, self.best_step = -1.0, 0
        self._signals = StopSignals()
        self._validated = False
        self._saved_step, self._saved_at = 0, 0.0
        self._callback_metrics: dict[str, Any] = {}
        self._loaded_step = -1
        self._common_batches = 0
        self._group: Any = None  # of all processes, by their hosts

    # What goes into a checkpoint and comes out of it.

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score, self.best_step = state_dict["best_score"], state_dict["best_step"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["run"] = {
            "settings": self.settings,
            "images": dict(trainer.datamodule.num_images),
            "buffers": [name for name, _ in pl_module.named_buffers()],
        }
        checkpoint["callback_metrics"] = {name: value.cpu() for name, value in trainer.callback_metrics.items()}
        if trainer.validating:
            repeat_validation(checkpoint["loops"])

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        there, here = checkpoint.get("run", {}).get("images"), dict(trainer.datamodule.num_images)
        if there is not None and there != here:
            listed = "; ".join(
                f"{split}: {there.get(split, 0):,} there, {here.get(split, 0):,} here" for split in there | here
            )
            raise UsageError(
                f"the checkpoint is of a training on other images than the command's ({listed}); continue it on the "
                "same images, or train into another folder with --run_dir DIR"
            )
        self._callback_metrics = checkpoint.get("callback_metrics", {})
        self._loaded_step = checkpoint["global_step"]

    # When it is written.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and not trainer.fast_dev_run:
            self._signals.install(trainer)
            call_between_steps(trainer, lambda epoch_ended: self._between_steps(trainer, epoch_ended))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.callback_metrics.update(self._callback_metrics)
        if trainer.world_size > 1:
            self._group = torch.distributed.new_group(backend="gloo")  # on NCCL every question would wait for the GPUs
        if self.link_best and trainer.is_global_zero and self._loaded_step == self.best_step > 0:
            self.link_best(Path(trainer.ckpt_path), self.best)  # should it have been killed before it came to that

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        self._signals.training_starts()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Of processes whose parts differ in length, the shortest decides how long all can ask each other.
        batches = torch.tensor(sum(trainer.num_val_batches), device=pl_module.device)
        self._common_batches = int(trainer.strategy.reduce(batches, reduce_op="min"))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.sanity_checking or trainer.fast_dev_run or batch_idx >= self._common_batches:
            return
        (received,) = self._agreed(self._signals.received)
        if received:
            self._save(trainer)
            self._exit(trainer, received)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = not trainer.sanity_checking

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._saved_step != trainer.global_step and not trainer.fast_dev_run:
            self._save(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._signals.restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._signals.restore()
        launcher = trainer.strategy.launcher
        if not isinstance(exception, SystemExit) and hasattr(launcher, "kill"):
            launcher.kill(signal.SIGKILL)  # the other processes would wait for this one

    def _between_steps(self, trainer: Trainer, epoch_ended: bool) -> None:
        step = trainer.global_step
        minutes = (time.monotonic() - self._saved_at) / 60
        time_is_up = self.every_n_minutes is not None and minutes >= self.every_n_minutes
        received, due = self._agreed(self._signals.received, int(time_is_up))
        due = due or (epoch_ended and trainer.current_epoch % self.every_n_epochs == 0)
        due = due or (self.every_n_steps is not None and step % self.every_n_steps == 0)
        is_best = self._is_best(trainer)
        if (due or received or is_best) and step != self._saved_step:
            self._save(trainer)
        if is_best and self.link_best and trainer.is_global_zero:
            self.link_best(self.last, self.best)
        if received:
            self._exit(trainer, received)

    def _agreed(self, *values: int) -> tuple[int, ...]:
        """The largest of each value over all processes; with several, all must ask together."""
        if self._group is None:
            return values
        tensor = torch.tensor(values)
        torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX, self._group)
        return tuple(tensor.tolist())

    def _is_best(self, trainer: Trainer) -> bool:
        """Whether the validation just done is the best so far; takes note of it."""
        validated, self._validated = self._validated, False
        if self.link_best is None or not validated:
            return False  # without a look at the score: it is on the device
        score = float(trainer.callback_metrics.get(MONITOR, -1.0))
        is_best = score > self.best_score
        if is_best:
            self.best_score, self.best_step = score, trainer.global_step
        return is_best

    def _save(self, trainer: Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()  # what was logged before a checkpoint must not be lost with the process
        trainer.save_checkpoint(self.last, weights_only=False)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def _exit(self, trainer: Trainer, received: int) -> None:
        if trainer.is_global_zero:
            print(
                f"\nStopped by {signal.Signals(received).name} after step {trainer.global_step:,}; saved {self.last}\n"
                "Continue with the same command and --ckpt_path last (with --auto_resume true, the same command always "
                "does)",
                flush=True,
            )
        raise SystemExit(exit_code(trainer, received))
