"""Continuing a training with another learning rate, weight decay or schedule than it was begun with."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import _init_optimizers_and_lr_schedulers


class ChangedSchedule(Callback):
    """Applies the command's optimizer settings and schedule where the checkpoint's would be restored.

    The learning rate becomes what a run with the command's settings has after as many steps of its schedule. What the
    optimizer has gathered (momentum) stays. A schedule that follows a metric, ReduceLROnPlateau, starts anew.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        finished_epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        states = checkpoint["lr_schedulers"] or [{}]
        self.schedule_steps = states[0].get("last_epoch", finished_epochs)
        checkpoint["lr_schedulers"] = []  # perhaps of another class

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        optimizers, schedules = _init_optimizers_and_lr_schedulers(pl_module)
        for optimizer in optimizers:
            optimizer.step()  # without gradients it changes nothing; schedules complain if it is not done first
        for ours, fresh in zip(trainer.lr_scheduler_configs, schedules, strict=True):
            if not ours.reduce_on_plateau:
                for _ in range(self.schedule_steps):
                    fresh.scheduler.step()
                ours.scheduler.load_state_dict(fresh.scheduler.state_dict())
        for ours, fresh in zip(trainer.optimizers, optimizers, strict=True):
            for group, fresh_group in zip(ours.param_groups, fresh.param_groups, strict=True):
                group.update({name: value for name, value in fresh_group.items() if name != "params"})
