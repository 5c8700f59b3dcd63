"""What a run must have in common with the checkpoint it continues, what may change, and how a change is applied."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.checkpointing.lightning_internals import finished_epochs
from sbn_lightning.errors import UsageError

Differences: TypeAlias = dict[str, tuple[Any, Any]]
"""{option: (value there, value here)}."""

FREE = {
    f"data.{name}"
    for name in ("root", "packed_dir", "download", "test_each_epoch", "on_device", "evaluation_batch_size")
}
"""Settings of the data that change neither the training images nor their order."""

OF_TRAINING = {f"data.{name}" for name in ("batch_size", "crop_padding", "horizontal_flip", "seed", "on_bad_image")}
"""Further settings of the data that make no difference to an evaluation."""

TRAINER_SETTINGS = (
    "max_epochs", "max_steps", "devices", "precision", "accumulate_grad_batches", "gradient_clip_val",
    "gradient_clip_algorithm", "limit_train_batches", "val_check_interval", "deterministic", "benchmark",
)  # fmt: skip
"""Settings of the trainer that change what it computes, so that a change is printed."""

LENGTH_AND_SPEED = ("max_epochs", "max_steps", "val_check_interval", "deterministic", "benchmark")
"""Those of them that leave each step as it is."""


def run_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run keeps of a command's config in its checkpoints, for comparison: {option: value}."""
    sections = {name: config.get(name) or {} for name in ("data", "optimizer", "lr_scheduler")}
    trainer = {key: config["trainer"][key] for key in TRAINER_SETTINGS}
    return {key.replace(".init_args.", "."): value for key, value in flatten(sections | {"trainer": trainer}).items()}


def changes(path: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> Differences:
    """Return what a command changes in a run so far, whose checkpoint is at path.

    A change of what a training can only be continued with is a UsageError.
    """
    different = differences(there, here)
    for key in FREE:
        different.pop(key, None)
    fixed = {
        key: pair
        for key, pair in different.items()
        if key.startswith(("data.", "optimizer.class_path")) and key in there  # an earlier version may lack an option
    }
    if fixed:
        raise UsageError(
            f"{path} is a checkpoint of another training: {listed(fixed)}; use the config it was started with, or "
            "train into another folder with --run_dir DIR"
        )
    return different


def changed_training(changes: Differences, step: int) -> list[str]:
    """Return, as text, those changes after which the training is not the one that a run of these settings makes."""
    kept = {f"trainer.{name}" for name in LENGTH_AND_SPEED}
    pairs = ((key, pair) for key, pair in changes.items() if key not in kept)
    return [f"after step {step:,}: {key} {there} → {here}" for key, (there, here) in pairs]


def other_images(command: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> Differences:
    """Return the settings by which an evaluation would see other images of the same data than the training set aside
    for it, or see them in another way. Data of another class have settings of their own."""
    if there.get("data.class_path") != here.get("data.class_path"):
        return {}
    free = FREE | OF_TRAINING | ({"data.validation_fraction"} if command != "validate" else set())
    return {
        key: pair
        for key, pair in differences(there, here).items()
        if key.startswith("data.") and key not in free and key in there
    }


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Differences:
    """Return {dotted key: (value there, value here)} of the values that differ in two nested dicts."""
    there, here = flatten(there), flatten(here)
    pairs = {key: (there.get(key), here.get(key)) for key in sorted(there | here)}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def listed(different: Differences) -> str:
    """Return differences as text: `data.batch_size is 128 there, 64 here`."""
    return "; ".join(f"{key} is {there!r} there, {here!r} here" for key, (there, here) in different.items())


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


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
        (optimizer,) = trainer.optimizers
        optimizer.step()  # without gradients it changes nothing; schedules complain if it is not done first
        for config in trainer.lr_scheduler_configs:
            for _ in range(0 if config.reduce_on_plateau else self.schedule_steps):
                config.scheduler.step()
        self.settings = [{name: group[name] for name in group if name != "params"} for group in optimizer.param_groups]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for group, settings in zip(trainer.optimizers[0].param_groups, self.settings, strict=True):
            group.update(settings)
