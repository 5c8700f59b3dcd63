"""What the settings of a training lead to, where that is easily overlooked: a schedule that is too long, a validation
that never comes, threads that wait, and days."""

import math
import time
from collections.abc import Iterator
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.callbacks.waiting_threads import threads_that_wait
from sbn_lightning.errors import counted
from sbn_lightning.terminal import show

MEASURED_STEPS = 20  # after the first one, which may compile
SAID_FROM = 60.0  # seconds
LONG_ON_CPU = 3600.0  # seconds
UNITS = {"days": 86_400, "hours": 3600, "minutes": 60}


class TrainingPlan(Callback):
    """Warn before the first step of what a training will never reach, with the reason: parts of a learning-rate
    schedule, logged steps, best.ckpt; and of threads that wait for each other. After 20 steps, say when the training is
    expected to end, if that takes a minute or more. No tags.

    The expected end counts training steps only, at the speed of these 20. On a CPU, a training of more than an hour is
    told what would be faster.
    """

    def __init__(self) -> None:
        self._total = 0.0  # steps; infinite if no end is set
        self._since: tuple[int, float] | None = None  # the step after which the clock was started, and its time
        self._said = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._total = trainer.estimated_stepping_batches
        if trainer.is_global_zero and not trainer.fast_dev_run:
            total = self._total
            texts = (*never_reached(trainer, total), *never_logged(trainer, total), *why_no_best(trainer, total))
            for text in (*texts, *threads_that_wait(pl_module.device)):
                show(("Warning", text))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._said or self._total == float("inf"):
            return
        step, now = trainer.global_step, time.perf_counter()
        if self._since is None:
            self._since = (step, now)
        elif step - self._since[0] >= MEASURED_STEPS:
            self._said = True
            seconds = (now - self._since[1]) / (step - self._since[0])
            if trainer.is_global_zero and (left := (self._total - step) * seconds) >= SAID_FROM:
                show(("Expected", expected_end(left, seconds, pl_module.device.type == "cpu")))


def expected_end(left: float, seconds_per_step: float, is_on_cpu: bool) -> str:
    """Return a sentence that says when a training will end.

    Args:
        left: Seconds until then.
        seconds_per_step: Of a step, on average.
        is_on_cpu: Whether it is trained on a CPU.
    """
    unit = next((unit for unit, size in UNITS.items() if left >= size), "minutes")
    amount = left / UNITS[unit]
    text = f"end in {amount:.1f} {unit}, at {seconds_per_step:.2g} s a step; evaluations are not counted"
    if is_on_cpu and left > LONG_ON_CPU:
        text += (
            ". On a GPU this is many times faster; on this CPU try a smaller network (--model.backbone SmallCNN) or "
            "fewer epochs (--trainer.max_epochs N)"
        )
    return text


def never_reached(trainer: Trainer, total_steps: float) -> Iterator[str]:
    """Say of each learning-rate schedule which of its moments lie at or behind the training's end."""
    steps_per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    for config in trainer.lr_scheduler_configs:
        unit = "epoch" if config.interval == "epoch" else "step"
        total = total_steps / steps_per_epoch if unit == "epoch" else total_steps
        for name, moments in moments_of(config.scheduler).items():
            # A milestone takes effect in what follows it; the others are complete at the end.
            last = total if name in ("T_max", "total_iters") else total - 1
            if late := [str(moment) for moment in moments if moment * config.frequency > last >= 0]:
                kind, plural = type(config.scheduler).__name__, "" if total == 1 else "s"
                yield (
                    f"the training ends after {total:g} {unit}{plural}, so {kind} never reaches its {name} "
                    f"{', '.join(late)}; see --lr_scheduler.{name} and --trainer.max_epochs"
                )


def never_logged(trainer: Trainer, total_steps: float) -> Iterator[str]:
    """Say that no step of a training is logged, where it has too few."""
    if trainer.loggers and 0 < total_steps < trainer.log_every_n_steps:
        steps = counted(int(total_steps), "step")
        yield (
            f"the training ends after {steps}, before one is logged: there are curves over epochs, and none over "
            f"steps; set --trainer.log_every_n_steps to {total_steps:g} or less"
        )


def why_no_best(trainer: Trainer, total_steps: float) -> Iterator[str]:
    """Say why a training with held-out images will write no best.ckpt; nothing if it will, or if none are held out."""
    if trainer.datamodule.validation_stage != "val":
        return
    if not trainer.enable_validation:
        yield "no best.ckpt is written, and the held-out images are not used: --trainer.limit_val_batches is 0"
    elif (first := first_validation(trainer)) > total_steps:
        yield (
            f"no best.ckpt is written: the training ends after {total_steps:,} steps, and would be validated after "
            f"{first:,}; see --trainer.check_val_every_n_epoch and --trainer.val_check_interval"
        )


def first_validation(trainer: Trainer) -> float:
    """Return the number of steps before the first validation; 0 if that is set as a time."""
    if trainer.val_check_batch is None:
        return 0
    batches = ((trainer.check_val_every_n_epoch or 1) - 1) * trainer.num_training_batches + trainer.val_check_batch
    epochs, rest = divmod(batches, trainer.num_training_batches)  # an epoch's last step may be of fewer batches
    accumulate = trainer.accumulate_grad_batches
    return int(epochs * math.ceil(trainer.num_training_batches / accumulate) + math.ceil(rest / accumulate))


def moments_of(schedule: Any) -> dict[str, list[int]]:
    """The settings of a schedule that are a number of epochs or steps, by name."""
    moments = {"milestones": sorted(getattr(schedule, "milestones", []))}
    single = {name: getattr(schedule, name, None) for name in ("step_size", "T_max", "total_iters")}
    return moments | {name: [value] for name, value in single.items() if isinstance(value, int)}
