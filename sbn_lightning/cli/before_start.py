"""What is refused or said once everything is built, before a training starts: what would fail or be wrong later."""

from collections.abc import Iterator
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, OnExceptionCheckpoint, StochasticWeightAveraging
from lightning.pytorch.callbacks.finetuning import BaseFinetuning
from lightning.pytorch.cli import instantiate_class
from torch.nn import Parameter
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import SWALR

from sbn_lightning.cli.checks import building
from sbn_lightning.cli.launcher import check_launcher
from sbn_lightning.cli.messages import at
from sbn_lightning.cli.unsupported import classes_in
from sbn_lightning.errors import did_you_mean
from sbn_lightning.run.measures import MEASURES, shown_in

PER_STEP = (OneCycleLR, CyclicLR)
"""Schedules that are made to change the learning rate after each step; Lightning's command line has no key for it."""
SHIPPED = ("sbn_lightning", "lightning", "torch", "torchvision")
"""Packages whose callbacks and models log no metrics but those that are known here."""


def check_processes(trainer: Trainer, sync_batchnorm: bool) -> None:
    """Refuse what cannot work on the processes that the trainer uses, or that a launcher has started."""
    used = trainer.num_devices * trainer.num_nodes
    check_launcher(
        used,
        "set --trainer.devices to the processes on each machine and --trainer.num_nodes to the machines, or start one",
    )
    if used == 1:
        return
    if sync_batchnorm and isinstance(trainer.accelerator, CPUAccelerator):
        raise at("trainer.sync_batchnorm", "batch normalization is synchronized on GPUs only; set it to false")
    for callback in trainer.callbacks:
        if isinstance(callback, BaseFinetuning):
            reason = "the gradients of parameters that are trained later are not averaged over the devices"
        elif isinstance(callback, OnExceptionCheckpoint):
            reason = "a process that fails would wait for the others to save with it; leave it out"
        else:
            continue
        text = f"{type(callback).__name__} works on one device only, and this training uses {used}: {reason}"
        raise at("trainer.callbacks", text)


def check_monitors(trainer: Trainer, model: LightningModule, stage: str | None, schedule: Namespace | None) -> None:
    """Refuse a callback or a schedule that follows the test set, or a metric that is not measured when it is needed.

    Args:
        stage: What a validation is called in metrics, `val` or `test_each_epoch`; None without any.
        schedule: The config of the learning-rate schedule, or None.
    """
    held_out = stage == "val" and is_validated(trainer)
    known, every = metrics_of("val" if held_out else None), trainer.check_val_every_n_epoch
    names = ", ".join(known)
    for key, monitor in monitors(trainer, schedule):
        if monitor.startswith("test"):
            raise at(
                key,
                f"{monitor} is measured on the test set, and nothing may be chosen by that: the test accuracy would be "
                "too good. Hold out images with --data.validation_fraction 0.1, and monitor val/accuracy or val/loss",
            )
        if key.startswith("lr_scheduler") and monitor.startswith(f"{stage}/") and (every or 1) > 1:
            text = f"{monitor} is measured every {every} epochs, but the schedule needs it after each epoch"
            raise at(key, f"{text}; set --trainer.check_val_every_n_epoch 1")
        if monitor not in known and not monitor.startswith("lr-") and not logs_more(trainer, model):
            close = did_you_mean(monitor.replace("_", "/", 1), known)
            needs = "; val/… needs held-out images, as by --data.validation_fraction 0.1" * monitor.startswith("val")
            text = f"there is no metric {monitor!r} in this training{close} (known are {names})"
            raise at(key, text if stage == "val" else text + needs)


def metrics_of(stage: str | None) -> list[str]:
    """Return the names of all metrics of a training that validates in a stage."""
    stages = ["train", *([stage] if stage else [])]
    batch = [f"train/batch_{measure.name}" for measure in shown_in("batch")]
    return [f"{stage}/{measure.name}" for stage in stages for measure in MEASURES] + batch


def monitors(trainer: Trainer, schedule: Namespace | None) -> Iterator[tuple[str, str]]:
    """Yield (key, metric) of all that follows a metric."""
    for callback in trainer.callbacks:
        monitor = str(getattr(callback, "monitor", None))
        if (
            monitor.startswith("test")  # whichever callback it is
            or (isinstance(callback, EarlyStopping) and callback.strict)
            or (isinstance(callback, ModelCheckpoint) and monitor not in ("None", "epoch", "step"))
        ):
            yield "trainer.callbacks.monitor", monitor
    if schedule and "monitor" in (schedule.get("init_args") or {}):
        yield "lr_scheduler.monitor", schedule.init_args.monitor


def logs_more(trainer: Trainer, model: LightningModule) -> bool:
    """Whether a class of the user's own is among the callbacks or in the model: it may log metrics of its own."""
    parts = [*trainer.callbacks, *model.modules()]
    return any(type(part).__module__.partition(".")[0] not in SHIPPED for part in parts)


def is_validated(trainer: Trainer) -> bool:
    """Whether a training validates at all."""
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    return trainer.limit_val_batches > 0 and (every is None or epochs in (None, -1) or every <= epochs)


def check_optimizer(config: Namespace, device: torch.device) -> None:
    """Refuse settings that an optimizer or a schedule complains about at its first step, by a step on a parameter of
    its own; and those that StochasticWeightAveraging will make a schedule of."""
    parameter = Parameter(torch.zeros(2, 2, device=device))
    parameter.grad = torch.zeros_like(parameter)
    with building("optimizer", config.optimizer.init_args, also=(AssertionError, RuntimeError)):
        optimizer = instantiate_class([parameter], config.optimizer)
        optimizer.step()
    for path, settings in classes_in(config.trainer.callbacks):
        if path.endswith(f".{StochasticWeightAveraging.__name__}"):
            with building("trainer.callbacks", settings):
                SWALR(optimizer, settings.swa_lrs, settings.annealing_epochs, settings.annealing_strategy)
    if config.get("lr_scheduler"):
        with building("lr_scheduler", config.lr_scheduler.init_args):
            schedule = instantiate_class(optimizer, config.lr_scheduler)
            optimizer.step()  # schedules warn if they come first
            schedule.step(*[0.0] * isinstance(schedule, ReduceLROnPlateau))


def check_precision(trainer: Trainer) -> None:
    """Refuse settings of a precision plugin that torch complains about in the first step only."""
    with building("trainer.plugins", also=(RuntimeError,)), trainer.precision_plugin.forward_context():
        pass


def interval_of(schedule: Any, trainer: Trainer) -> str:
    """Return whether a schedule makes its step after each `step` of the optimizer or after each `epoch`.

    Raises:
        UsageError: If OneCycleLR is made for another number of steps than the training has.
    """
    if not isinstance(schedule, PER_STEP):
        return "epoch"
    if isinstance(schedule, OneCycleLR):
        steps, epochs = trainer.estimated_stepping_batches, trainer.max_epochs
        if schedule.total_steps == epochs != steps:
            return "epoch"
        if schedule.total_steps != steps:
            text = f"OneCycleLR is made for {schedule.total_steps:,} steps, and this training has {steps:,} in "
            raise at("lr_scheduler", f"{text}{epochs} epochs; set --lr_scheduler.total_steps {steps}")
    return "step"
