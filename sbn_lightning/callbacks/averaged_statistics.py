"""What StochasticWeightAveraging needs for any model, any other callback and any end of a training."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch import nn

BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class AveragedStatistics(Callback):
    """Measure the running statistics again for the averaged weights of StochasticWeightAveraging, in all that has any.

    Statistics of the weights before they were averaged do not fit those after it. Lightning measures those of batch
    normalization again, in an additional epoch in which nothing is trained; it does not know the modules of heads that
    normalize over the batch. Here each of them becomes the plain mean over the batches of that epoch, as for the
    others. The epoch is added to every training, so that the last checkpoint always holds the averaged weights; its
    one optimizer step does nothing, since there are no gradients. A training that ends before that epoch keeps the
    weights of its last step: Lightning would take averaged ones with statistics of others. No tags.

    Args:
        averaging: The callback that averages the weights; it must come directly after this one, and after all others
            that do something at the start of an epoch, such as GradientAccumulationScheduler.

    Attributes:
        schedules: Those of the learning rate that the averaging replaces, as the trainer keeps them.
        is_averaged: Whether the model has the averaged weights now.
    """

    def __init__(self, averaging: StochasticWeightAveraging) -> None:
        self.averaging = averaging
        self.schedules: list[Any] = []
        self.is_averaged = False
        self._momenta: dict[nn.Module, float] = {}  # of the modules whose statistics are measured now

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self.averaging.pl_module_contains_batch_norm = lambda model: True  # type: ignore[method-assign,assignment]

    def state_dict(self) -> dict[str, Any]:
        return {"is_averaged": self.is_averaged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.is_averaged = bool(state_dict["is_averaged"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.schedules = list(trainer.lr_scheduler_configs)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        first, *others = trainer.optimizers[0].param_groups
        for group in others if "swa_lr" in first else []:
            if "swa_lr" not in group:  # BackboneFinetuning has added it while weights are averaged already
                group |= {name: first[name] for name in ("swa_lr", "initial_lr")}
        if trainer.current_epoch == self.averaging.swa_end + 1:
            self.is_averaged = True
            trainer.val_check_batch = float("inf")  # validate at its end only, with all of the statistics
            self._momenta = {module: module.momentum for module in normalizing_modules(pl_module)}
            pl_module.zero_grad()  # Lightning would apply the last ones again, unless a validation came in between

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.is_averaged:
            self.averaging.transfer_weights = lambda *models: None  # type: ignore[method-assign]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        for module in self._momenta:
            module.momentum = 1 / (batch_idx + 1)  # type: ignore[assignment]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for module, momentum in self._momenta.items():
            module.momentum = momentum  # type: ignore[assignment]
        self._momenta.clear()


def normalizing_modules(model: nn.Module) -> list[Any]:
    """Return the modules with running statistics of batches that are no batch normalization of torch's."""
    return [
        module
        for module in model.modules()
        if isinstance(getattr(module, "running_mean", None), torch.Tensor)
        and hasattr(module, "momentum")
        and not isinstance(module, BATCH_NORM)
    ]
