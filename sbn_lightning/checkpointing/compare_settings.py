"""What a training must have in common with the checkpoint it continues, and what may change."""

from pathlib import Path
from typing import Any

from sbn_lightning.checkpointing.load import flatten
from sbn_lightning.checkpointing.safe_reading import Stored
from sbn_lightning.errors import UsageError
from sbn_lightning.run.records import BrokenRecordError, read_results

ANYWHERE = {"root", "packed_dir", "download", "test_each_epoch", "on_device"}
"""Settings of the data that change neither the training images nor their order."""

TRAINER_SETTINGS = (
    "max_epochs",
    "max_steps",
    "devices",
    "precision",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "val_check_interval",
    "deterministic",
    "benchmark",
)
"""Settings of the trainer that change what it computes, so that a change is said."""

NAMES = {
    "optimizer.lr": "learning rate",
    "optimizer.weight_decay": "weight decay",
    "trainer.max_epochs": "epochs",
    "trainer.max_steps": "steps",
    "trainer.devices": "devices",
}


def run_settings(config: dict[str, Any]) -> dict[str, Any]:
    """What of a command's config is kept in its checkpoints for comparison: {option: value}, plain data."""
    sections = {name: config.get(name) or {} for name in ("data", "optimizer", "lr_scheduler")}
    trainer = {key: config["trainer"][key] for key in TRAINER_SETTINGS}
    flat = flatten(sections | {"trainer": trainer})
    return {key.replace(".init_args.", "."): value for key, value in flat.items()}


def changes(checkpoint: str, stored: Stored, settings: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs from the training that a checkpoint is of, where that may differ: {option: (there, here)}.

    Args:
        checkpoint: Path of the file.
        stored: What it holds.
        settings: The command's.

    Raises:
        UsageError: If the data or the class of the optimizer differ.
    """
    theirs = stored.get("run", {}).get("settings")
    if theirs is None:  # of another program; there is nothing to compare
        return {}
    different = {
        key: (theirs.get(key), settings.get(key))
        for key in sorted(theirs | settings)
        if theirs.get(key) != settings.get(key)
    }
    fixed = {key: pair for key, pair in different.items() if is_fixed(key)}
    if fixed:
        listed = "; ".join(f"{key} is {there!r} there, {here!r} here" for key, (there, here) in fixed.items())
        raise UsageError(
            f"{checkpoint} is a checkpoint of another training: {listed}; use the config it was begun with, or train "
            "into another folder with --run_dir DIR"
        )
    return {key: pair for key, pair in different.items() if not key.startswith("data.")}


def is_fixed(key: str) -> bool:
    """Whether a training can only be continued with the setting it was begun with."""
    section, _, name = key.partition(".")
    return key == "optimizer.class_path" or (section == "data" and name not in ANYWHERE)


def changes_text(different: dict[str, tuple[Any, Any]]) -> str:
    """`learning rate 0.1 → 0.05, epochs 2 → 3`."""
    return ", ".join(f"{NAMES.get(key, key)} {there} → {here}" for key, (there, here) in different.items())


def epochs_done(checkpoint: str, stored: Stored) -> int:
    """Complete epochs that a checkpoint has been trained for.

    Raises:
        UsageError: If it holds no training's state.
    """
    try:
        epochs, step = stored["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"], stored["global_step"]
        if isinstance(epochs, int) and isinstance(step, int):
            return epochs
    except (KeyError, TypeError):
        pass
    raise UsageError(f"{checkpoint} holds weights but no state of a training that could be continued")


def is_complete(checkpoint: str, stored: Stored, max_epochs: int | None, max_steps: int) -> bool:
    """Whether a checkpoint is the end of its training.

    Raises:
        UsageError: If it holds no training's state.
    """
    epochs = epochs_done(checkpoint, stored)
    return (max_epochs is not None and 0 <= max_epochs <= epochs) or 0 <= max_steps <= stored["global_step"]


def completed_text(checkpoint: str, stored: Stored) -> str:
    """That there is nothing left to do, and what would change that."""
    epochs = epochs_done(checkpoint, stored)
    return (
        f"{checkpoint} has been trained for {epochs} epochs ({stored['global_step']:,} steps), all that were asked "
        "for; there is nothing left to do, unless --trainer.max_epochs is raised"
    )


def has_results(run_dir: Path) -> bool:
    """Whether the run has written down what its training gave."""
    try:
        return read_results(run_dir).fit is not None
    except BrokenRecordError:
        return False
