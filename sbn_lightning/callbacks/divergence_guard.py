"""Stops a training that has diverged before its state is saved."""

import math
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sbn_lightning.errors import DivergenceError
from sbn_lightning.metrics import step_is_logged

MOST_UNREAD = 1_000  # losses kept on the device at a time, however rarely the trainer logs


class DivergenceGuard(Callback):
    """Stop all processes once a loss or a weight is NaN or infinite, and let no such state be saved.

    Each step puts its loss into a tensor on the device, without waiting for it. The tensor is read every
    `trainer.log_every_n_steps` steps, before each validation, at the end of each epoch and before each checkpoint; all
    but the first also check the parameters and buffers, since a finite loss may have an infinite gradient. A gradient
    scaler skips steps with infinite gradients: the weights stay finite, and only the loss is checked. A buffer that is
    not finite when training starts (a mask, for example) is ignored. No tags.

    Args:
        checkpoints: Folder of the run's checkpoints, to name the last good one.

    Raises:
        DivergenceError: On the first process; the others end without a message of their own.
    """

    def __init__(self, checkpoints: str) -> None:
        self.checkpoints = Path(checkpoints)
        self._losses = torch.empty(0)  # (K,) of the steps since the last reading, on the device
        self._steps: list[tuple[int, float | Tensor]] = []  # (number from 1, learning rate) of each of them
        self._step: tuple[int, float | Tensor] = (0, math.nan)  # the current one
        self._ignored_buffers: set[str] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        unread = max(1, trainer.log_every_n_steps) * trainer.accumulate_grad_batches
        self._losses = torch.zeros(min(unread, MOST_UNREAD), device=pl_module.device, dtype=pl_module.dtype)
        self._steps.clear()
        self._ignored_buffers = {name for name, buffer in pl_module.named_buffers() if not are_finite([buffer])}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._step = (trainer.global_step + 1, trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._losses[len(self._steps)] = outputs["loss"].detach()
        self._steps.append(self._step)
        step, _ = self._step  # not finished while gradients are accumulated
        is_logged = step == trainer.global_step and step_is_logged(trainer, step)
        if is_logged or len(self._steps) == len(self._losses):
            self._check_losses(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._check(trainer, pl_module)

    def _check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check_losses(trainer, pl_module)
        buffers = (buffer for name, buffer in pl_module.named_buffers() if name not in self._ignored_buffers)
        finite = are_finite([*pl_module.parameters(), *buffers])
        if not trainer.strategy.reduce_boolean_decision(finite, all=True):
            step, learning_rate = self._step
            self._stop(
                trainer, pl_module, f"step {step} made a weight or running estimate NaN or infinite", learning_rate
            )

    def _check_losses(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the losses; waits for the device and the other processes, which have as many unread losses."""
        if not self._steps:
            return
        losses = self._losses[: len(self._steps)]
        numbers = torch.arange(len(losses), device=losses.device)
        first_here = numbers.masked_fill(losses.isfinite(), len(losses)).min()
        first = int(trainer.strategy.reduce(first_here, reduce_op="min"))
        if first < len(losses):
            step, learning_rate = self._steps[first]
            self._stop(trainer, pl_module, f"the loss of step {step} is NaN or infinite", learning_rate)
        self._steps.clear()

    def _stop(self, trainer: Trainer, pl_module: LightningModule, what: str, learning_rate: float | Tensor) -> None:
        self._steps.clear()
        if not trainer.is_global_zero:
            # One message is enough, and Lightning would kill the first process if another one failed before it.
            raise SystemExit(0)
        files = sorted(self.checkpoints.glob("*.ckpt"), key=lambda file: file.stat().st_mtime)
        kept = f"the last good checkpoint is {files[-1]}" if files else "there is no checkpoint yet"
        rate = float(learning_rate)
        # A fused optimizer unscales the gradients by itself, and Lightning cannot clip them before.
        fused = any(group.get("fused") for optimizer in trainer.optimizers for group in optimizer.param_groups)
        unfused = " --optimizer.fused false" if fused else ""
        full_precision = "" if "16" not in str(trainer.precision) else ", or --trainer.precision 32-true"
        raise DivergenceError(
            f"training has diverged and was stopped: {what}, at learning rate {rate:g} with "
            f"{type(pl_module.head).__name__}; {kept}. Try a lower learning rate (--optimizer.lr {rate / 10:g}), or "
            f"--trainer.gradient_clip_val 1{unfused}{full_precision}"
        )


def are_finite(tensors: list[Tensor]) -> bool:
    """Whether no element of any tensor is NaN or infinite."""
    floating = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
    # One norm of all is 15 times as fast as to check each element, and waits for the device once; but the squares of
    # finite numbers may overflow.
    norm = torch.nn.utils.get_total_norm(floating)
    return bool(norm.isfinite()) or all(bool(tensor.isfinite().all()) for tensor in floating)
