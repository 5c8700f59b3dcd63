"""What the settings of a training lead to, where that is easily overlooked: a schedule that is too long, a validation
that never comes, threads that wait, and days."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.callbacks.pace import Pace, may_stop_early
from sbn_lightning.callbacks.waiting_threads import threads_that_wait
from sbn_lightning.errors import counted
from sbn_lightning.terminal import duration, show

MEASURED_BATCHES = 20  # after the first one, which may compile
WAITED = 10.0  # seconds after which fewer batches are enough
SAID_FROM = 60.0  # seconds
LONG_ON_CPU = 3600.0  # seconds


class TrainingPlan(Callback):
    """Warn before the first step of what a training will never reach, with the reason: parts of a learning-rate
    schedule, logged steps, best.ckpt; and of threads that wait for each other. After 20 batches, or 10 seconds if a
    batch takes long, say when the training is expected to end, if that takes a minute or more. No tags.

    The expected end counts training steps only, at the speed of these batches. On a CPU, a training of more than an
    hour is told what would be faster.
    """

    def __init__(self) -> None:
        self._total = 0.0  # steps; infinite if no end is set
        self._pace: Pace | None = None  # until the expected end is said
        self._started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._total = trainer.estimated_stepping_batches
        if trainer.is_global_zero and not trainer.fast_dev_run:
            total = self._total
            texts = (*never_reached(trainer, total), *never_logged(trainer, total), *why_no_best(trainer, total))
            for text in (*texts, *threads_that_wait(pl_module.device)):
                show(("Warning", text))
        self._started = time.monotonic()
        self._pace = Pace(self._started) if trainer.is_global_zero and math.isfinite(self._total) else None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._pace is None:
            return
        now = time.monotonic()
        self._pace.batch_ended(now, len(outputs["labels"]))
        seconds = self._pace.seconds_per_batch
        if seconds is None and not pl_module.is_compiled:  # nothing but the first batch, which was not compiled
            seconds = now - self._started
        is_sure = self._pace.batches >= MEASURED_BATCHES or now - self._started >= WAITED
        if seconds and is_sure:
            seconds *= trainer.accumulate_grad_batches
            if (left := (self._total - trainer.global_step) * seconds) >= SAID_FROM:
                is_on_cpu, backbone = pl_module.device.type == "cpu", type(pl_module.backbone).__name__
                show(("Expected", expected_end(left, seconds, is_on_cpu, backbone, may_stop_early(trainer))))
            self._pace = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._pace:
            self._pace.stop(time.monotonic())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._pace:
            self._pace.go_on(time.monotonic())


def expected_end(
    left: float, seconds_per_step: float, is_on_cpu: bool, backbone: str, may_stop_early: bool = False
) -> str:
    """Return a sentence that says when a training will end.

    Args:
        left: Seconds until then.
        seconds_per_step: Of a step, on average.
        is_on_cpu: Whether it is trained on a CPU.
        backbone: Its class.
        may_stop_early: Whether EarlyStopping may end it before.
    """
    most = "at most " if may_stop_early else ""
    text = f"to end in {most}{duration(left)}, at {duration(seconds_per_step)} a step, without evaluations"
    if is_on_cpu and left > LONG_ON_CPU:
        smaller = "add --config small (a small network, 30 epochs), or " if backbone != "SmallCNN" else ""
        text += f". A GPU is many times faster; on this CPU, {smaller}train fewer epochs (--trainer.max_epochs N)"
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
                    f"the training ends after {total:.4g} {unit}{plural}, so {kind} never reaches its {name} "
                    f"{', '.join(late)}{unchanged(name, late, moments)}; see --lr_scheduler.{name}"
                    f"{shorter(moments, total / config.frequency)} and --trainer.max_epochs"
                )


def unchanged(name: str, late: Sequence[str], moments: Sequence[int]) -> str:
    """Say that a learning rate that is to become lower never does."""
    is_constant = name in ("milestones", "step_size") and len(late) == len(moments)
    return ", and the learning rate stays what it is" if is_constant else ""


def shorter(moments: Sequence[int], total: float) -> str:
    """Return milestones for a training of another length, as a value on the command line: in the same proportions, the
    last one at nine tenths of it, as the paper's 30, 60, 90 of 100 epochs; nothing if it is too short for them."""
    scaled = [int(0.9 * total * moment / moments[-1]) for moment in moments]
    is_possible = len(scaled) > 1 and scaled[0] > 0 and len(set(scaled)) == len(scaled)
    return f" [{','.join(map(str, scaled))}]" if is_possible else ""


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
            f"no best.ckpt is written: the training ends after {counted(int(total_steps), 'step')}, and the first "
            f"validation would come after {first:,}; see --trainer.check_val_every_n_epoch and "
            "--trainer.val_check_interval"
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
