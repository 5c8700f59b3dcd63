"""Whether a training fails: one that has diverged is stopped, one that learns nothing is warned of."""

import math
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sbn_lightning.errors import DivergenceError, UsageError
from sbn_lightning.metrics import step_is_logged
from sbn_lightning.run.files import CHECKPOINTS
from sbn_lightning.sharding.tensors import own_part
from sbn_lightning.terminal import show


class DivergenceGuard(Callback):
    """Stop all processes once a loss or a weight is NaN or infinite, and let no such state be saved.

    Each step keeps its loss on the device, without waiting for it. The losses are read every
    `trainer.log_every_n_steps` steps, before each validation, at the end of each epoch and before each checkpoint; all
    but the first also check the parameters and buffers, since a finite loss may have an infinite gradient. A gradient
    scaler skips steps with infinite gradients: the weights stay finite, and only the loss is checked. A buffer that is
    not finite when training starts (a mask, for example) is ignored. No tags.

    Raises:
        DivergenceError: On the first process; the others end without a message of their own.
    """

    def __init__(self) -> None:
        self._step: tuple[int, Any] = (0, math.nan)  # the current step, from 1, and its learning rate
        self._unread: list[tuple[tuple[int, Any], Tensor]] = []  # the steps since the last reading, and their losses
        self._ignored_buffers: set[str] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ignored_buffers = {name for name, buffer in pl_module.named_buffers() if not are_finite([buffer])}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._step = (trainer.global_step + 1, trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        self._unread.append((self._step, outputs["loss"].detach()))
        step, _ = self._step  # not finished while gradients are accumulated
        is_logged = step == trainer.global_step and step_is_logged(trainer, step)
        if is_logged or len(self._unread) == 1_000:  # kept on the device, however rarely the trainer logs
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
            step, rate = self._step
            what = f"after step {step}, a weight or a running estimate is NaN or infinite"
            self._stop(trainer, pl_module, what, rate)

    def _check_losses(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the losses; waits for the device and the other processes, which have as many unread losses."""
        if not self._unread:
            return
        steps, losses = zip(*self._unread, strict=True)
        self._unread.clear()
        finite = torch.stack(losses).isfinite()
        numbers = torch.arange(len(losses), device=finite.device)
        first_here = numbers.masked_fill(finite, len(losses)).min()
        first = int(trainer.strategy.reduce(first_here, reduce_op="min"))
        if first < len(losses):
            step, rate = steps[first]
            self._stop(trainer, pl_module, f"the loss of step {step} is NaN or infinite", rate)

    def _stop(self, trainer: Trainer, pl_module: LightningModule, what: str, learning_rate: float | Tensor) -> None:
        if not trainer.is_global_zero:
            # One message is enough, and Lightning would kill the first process if another one failed before it.
            raise SystemExit(0)
        checkpoints = Path(trainer.default_root_dir, CHECKPOINTS).glob("*.ckpt")
        newest = max(checkpoints, key=lambda file: file.stat().st_mtime, default=None)
        kept = f"the newest checkpoint is {newest}, from before that" if newest else "no checkpoint was written before"
        rate, head = float(learning_rate), type(pl_module.head).__name__
        # A fused optimizer unscales the gradients by itself, and Lightning cannot clip them before.
        fused = any(group.get("fused") for optimizer in trainer.optimizers for group in optimizer.param_groups)
        more = " --optimizer.fused false" if fused else ""
        more += ", or --trainer.precision 32-true" if "16" in str(trainer.precision) else ""
        raise DivergenceError(
            f"training has diverged and was stopped: {what}, at learning rate {rate:g} with {head}; {kept}. Try a "
            f"lower learning rate (--optimizer.lr {rate / 10:g}), or --trainer.gradient_clip_val 1{more}"
        )


def are_finite(tensors: list[Tensor]) -> bool:
    """Whether no element of any tensor is NaN or infinite; of a divided tensor, none that this process holds."""
    floating = [own_part(tensor.detach()) for tensor in tensors if tensor.is_floating_point()]
    # One norm of all is 15 times as fast as to check each element, and waits for the device once; but the squares of
    # finite numbers may overflow.
    norm = torch.nn.utils.get_total_norm(floating)
    return bool(norm.isfinite()) or all(bool(tensor.isfinite().all()) for tensor in floating)


class ChanceLevel(Callback):
    """Warn, once, if the training accuracy is what guessing would give.

    From the given epoch on, each epoch's training accuracy is compared with q, the share of the largest class among the
    n training images: the accuracy of always answering with that class (1/C for equal classes). An accuracy of at most

        q + 3 * sqrt(q * (1 - q) / n)

    is no better than that: chance alone exceeds it once in 700 epochs. The warning repeats the head's advice, since a
    scale too small for the number of classes is one of the reasons. No tags.

    Args:
        epochs: Number of epochs after which the accuracy is checked for the first time, >= 1.
    """

    def __init__(self, epochs: int = 3) -> None:
        if epochs < 1:
            raise UsageError(f"epochs is {epochs}; the accuracy can be checked after 1 epoch at the earliest")
        self.epochs = epochs
        self._warned = False

    def state_dict(self) -> dict[str, Any]:
        return {"warned": self._warned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._warned = state_dict["warned"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if self._warned or epoch < self.epochs:
            return
        accuracy = pl_module.train_metrics.compute()["accuracy"].item()  # over all processes
        counts = trainer.datamodule.class_counts
        guessing = (counts.max() / counts.sum()).item()
        if accuracy > highest_by_chance(guessing, int(counts.sum())):
            return
        self._warned = True
        advice = pl_module.head.advice(counts) or ["Try another learning rate: --optimizer.lr."]
        if trainer.is_global_zero:
            after = f"after {epoch} epoch{'s' if epoch > 1 else ''}"
            text = f"Training accuracy {accuracy:.4f} {after} is no better than guessing ({guessing:.4f})."
            show(("Warning", " ".join([text, *advice])))


def highest_by_chance(guessing: float, num_images: int) -> float:
    return guessing + 3 * math.sqrt(guessing * (1 - guessing) / num_images)
