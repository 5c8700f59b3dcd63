"""Continuing a training with another learning rate, weight decay or schedule than it was started with."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.checkpointing.lightning_internals import finished_epochs


class ChangedSchedule(Callback):
    """Applies the command's optimizer settings and schedule where the checkpoint's would be restored.

    The learning rate becomes what a run with the command's settings has after as many steps of its schedule. What the
    optimizer has accumulated (momentum) is kept. A schedule that follows a metric, ReduceLROnPlateau, starts again.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint["lr_schedulers"] or [{}]
        self.schedule_steps = states[0].get("last_epoch", finished_epochs(checkpoint))
        checkpoint["lr_schedulers"] = []  # perhaps of another class

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Optimizer and schedule are new here; the optimizer's state is loaded after this hook.
        for optimizer in trainer.optimizers:
            optimizer.step()  # without gradients it changes nothing; schedules complain if it is not done first
        for config in trainer.lr_scheduler_configs:
            for _ in range(0 if config.reduce_on_plateau else self.schedule_steps):
                config.scheduler.step()
        self.settings = [
            [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for optimizer, groups in zip(trainer.optimizers, self.settings, strict=True):
            for group, settings in zip(optimizer.param_groups, groups, strict=True):
                group.update(settings)
