"""How a run is trained, all that decides its result: known before the first step. And how far it came."""

import inspect
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    Checkpoint,
    DeviceStatsMonitor,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelSummary,
    ProgressBar,
    ThroughputMonitor,
    Timer,
)
from torch.nn import SyncBatchNorm
from torch.optim import Optimizer

from sbn_lightning.callbacks.averaged_statistics import AveragedStatistics
from sbn_lightning.run.facts import TrainingFacts
from sbn_lightning.sharding.tensors import is_divided

WATCHING = (Checkpoint, DeviceStatsMonitor, LearningRateMonitor, ModelSummary, ProgressBar, ThroughputMonitor)
"""Callbacks that leave the training as it is, as all of this package's do. Any other one may change it."""
DECIDE_STEPS = (
    "data.batch_size",
    "trainer.limit_train_batches",
    "trainer.overfit_batches",
    "trainer.accumulate_grad_batches",
)
"""The settings that decide how many steps an epoch is of."""
VALIDATIONS = {"limit_val_batches": 1.0, "val_check_interval": 1.0, "check_val_every_n_epoch": 1}
"""The settings that say when to validate, and on how much, with their defaults."""


def training_facts(
    trainer: Trainer,
    pl_module: LightningModule,
    seed: int,
    epochs: int | None,
    callbacks: Sequence[str],
    changes: Sequence[str],
) -> TrainingFacts:
    """Return how a run that is about to start is trained.

    Args:
        epochs: The number of epochs that was asked for; StochasticWeightAveraging adds one to the trainer's.
        callbacks: See `describe_callbacks`.
        changes: The settings that changed where the run was continued, as text.
    """
    trainer.fit_loop.setup_data()  # builds the loader, which Lightning itself does only when training starts
    loader, batches = trainer.train_dataloader, int(trainer.num_training_batches)
    is_whole_epoch = batches == len(loader)
    # Otherwise an epoch is not always of as many steps.
    is_even = not any(isinstance(callback, GradientAccumulationScheduler) for callback in trainer.callbacks)
    is_even = is_even and not any(f"{setting} " in change for setting in DECIDE_STEPS for change in changes)
    steps_per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
    ends = [steps_per_epoch * epochs] if epochs not in (None, -1) else []
    ends += [trainer.max_steps] if trainer.max_steps != -1 else []
    return TrainingFacts(
        seed=int(seed),
        epochs=epochs,
        steps=min(ends, default=None) if is_even else None,
        steps_per_epoch=steps_per_epoch if is_even else None,
        batches_per_epoch=batches,
        last_batch=loader.last_batch_size if is_whole_epoch else loader.batch_size,
        accumulate=trainer.accumulate_grad_batches,
        devices=trainer.world_size,
        sync_batchnorm=any(isinstance(module, SyncBatchNorm) for module in pl_module.modules()),
        divided_head=any(map(is_divided, pl_module.head.parameters())),
        precision=str(trainer.precision),
        gradient_clip=trainer.gradient_clip_val or None,
        gradient_clip_algorithm=clip_algorithm(trainer) if trainer.gradient_clip_val else None,
        optimizer=[describe_optimizer(optimizer) for optimizer in trainer.optimizers],
        schedule=[describe_schedule(config) for config in schedules(trainer)],
        limits=limits(trainer, len(loader), None if epochs in (None, -1) else steps_per_epoch * epochs),
        callbacks=list(callbacks),
        changes=list(changes),
    )


def clip_algorithm(trainer: Trainer) -> str:
    algorithm = trainer.gradient_clip_algorithm or "norm"
    return str(getattr(algorithm, "value", algorithm))


def limits(trainer: Trainer, batches_there: int, steps_there: int | None) -> list[str]:
    """Return what shortens an epoch or the whole training, and which validations decide on it, if any do.

    Args:
        batches_there: Batches in a whole epoch.
        steps_there: Optimizer steps in all epochs; None where the number of epochs has no limit.
    """
    found, batches = [], int(trainer.num_training_batches)
    part = f"{batches} of {batches_there} batches each epoch"
    if trainer.overfit_batches:
        found.append(f"overfit_batches {trainer.overfit_batches}: the same {part}")
    elif batches < batches_there:
        found.append(f"limit_train_batches {trainer.limit_train_batches}: {part}")
    if trainer.max_steps != -1 and (steps_there is None or trainer.max_steps < steps_there):
        found.append(f"max_steps {trainer.max_steps}")
    found += [f"max_time {duration}" for timer in trainer.callbacks if (duration := time_limit(timer))]
    followers = [*trainer.lr_scheduler_configs, *trainer.callbacks]
    if any(str(getattr(one, "monitor", "")).startswith("val/") and not isinstance(one, WATCHING) for one in followers):
        settings = {name: getattr(trainer, name) for name in VALIDATIONS}
        # As texts, since limit_val_batches 1 is one batch, and 1.0 are all.
        found += [f"{name} {value}" for name, value in settings.items() if str(value) != str(VALIDATIONS[name])]
    return found


def time_limit(callback: Callback) -> str:
    """Return the duration after which a Timer stops the training, as text; an empty one for any other callback."""
    remaining = callback.time_remaining() if isinstance(callback, Timer) else None
    if not isinstance(callback, Timer) or remaining is None:
        return ""
    return str(timedelta(seconds=round(callback.time_elapsed() + remaining)))


def describe_callbacks(callbacks: Sequence[Callback], configs: Sequence[Any]) -> list[str]:
    """Return those callbacks that may change the training, with their settings, e.g. `EarlyStopping(monitor=val/loss)`.

    Args:
        configs: The config of each callback, as {"class_path", "init_args"}.
    """
    pairs = zip(callbacks, configs, strict=True)
    return [
        described(type(callback), (config or {}).get("init_args") or {})
        for callback, config in pairs
        if not isinstance(callback, WATCHING) and not type(callback).__module__.startswith("sbn_lightning.")
    ]


def describe_optimizer(optimizer: Optimizer) -> str:
    """Return the class and the settings that differ from its defaults, e.g. `SGD(lr=0.1, momentum=0.9)`."""
    known = parameters(type(optimizer))
    settings = {name: value for name, value in optimizer.defaults.items() if name in known}
    return described(type(optimizer), settings, always=["lr"])


def describe_schedule(config: Any) -> str:
    """Return what the learning rate does, e.g. `learning rate ×0.1 after epochs 30, 60, 90`, or
    `CosineAnnealingLR(T_max=100)`."""
    scheduler = config.scheduler
    if hasattr(scheduler, "milestones") and hasattr(scheduler, "gamma"):
        return f"learning rate ×{scheduler.gamma} after epochs {', '.join(map(str, sorted(scheduler.milestones)))}"
    kept = {**scheduler.optimizer.param_groups[0], **vars(scheduler)}  # OneCycleLR keeps its max_lr in the optimizer
    names = [name for name in parameters(type(scheduler)) if name != "last_epoch"]
    plain = {name: kept[name] for name in names if isinstance(kept.get(name), int | float | str)}
    return described(type(scheduler), plain) + (f" on {config.monitor}" if config.reduce_on_plateau else "")


def schedules(trainer: Trainer) -> list[Any]:
    """Return the schedules of the learning rate, with those that StochasticWeightAveraging has replaced."""
    averaging = [callback for callback in trainer.callbacks if isinstance(callback, AveragedStatistics)]
    return averaging[0].schedules if averaging else trainer.lr_scheduler_configs


def parameters(kind: type) -> dict[str, Any]:
    """Return {name: default} of what the constructors of a class and of its bases take."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if "__init__" in vars(base):
            found |= {name: parameter.default for name, parameter in inspect.signature(base).parameters.items()}
    return found


def described(kind: type, settings: Mapping[str, Any], always: Sequence[str] = ()) -> str:
    """Return a class and those of its settings that differ from its defaults, or that are always shown."""
    defaults = parameters(kind)
    shown = [name for name in always if name in settings]
    for name, value in settings.items():
        is_default = value == defaults.get(name) or str(value) == str(defaults.get(name))
        shown += [name] if name not in shown and not is_default else []
    return f"{kind.__name__}({', '.join(f'{name}={settings[name]}' for name in shown)})" if shown else kind.__name__


def stopped_by(trainer: Trainer, epochs_done: float) -> str:
    """Return what ended a training before its last epoch was complete; an empty text if it was complete."""
    averaging = [callback for callback in trainer.callbacks if isinstance(callback, AveragedStatistics)]
    if averaging:  # in an epoch more
        is_complete = all(callback.is_averaged for callback in averaging)
    else:
        is_complete = trainer.max_epochs not in (None, -1) and epochs_done >= trainer.max_epochs
    if is_complete:
        return ""
    return what_stopped(trainer) + (", before the weights were averaged" if averaging else "")


def what_stopped(trainer: Trainer) -> str:
    """Return the limit or the callback that has ended a training."""
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return f"max_steps {trainer.max_steps}"
    for callback in trainer.callbacks:
        if (duration := time_limit(callback)) and callback.time_remaining() <= 0:
            return f"max_time {duration}"
    for callback in trainer.callbacks:
        if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
            reason = callback.stopping_reason_message.replace(" Signaling Trainer to stop.", "").removesuffix(".")
            return f"{type(callback).__name__}: {reason}"
    return "a callback"
