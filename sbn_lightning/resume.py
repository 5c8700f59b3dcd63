"""What a training must have in common with the checkpoint it continues, and what may change."""

import json
from pathlib import Path
from typing import Any

import torch

from sbn_lightning.checkpoints import flatten
from sbn_lightning.cli import UsageError

ANYWHERE = {"root", "packed_dir", "download", "test_each_epoch", "on_device"}
"""Settings of the data that change neither the training images nor their order."""

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
    trainer = {
        key: config["trainer"][key]
        for key in ("max_epochs", "max_steps", "devices", "precision", "accumulate_grad_batches", "gradient_clip_val")
    }
    flat = flatten(sections | {"trainer": trainer})
    return {key.replace(".init_args.", "."): value for key, value in flat.items()}


def changes(checkpoint: str, settings: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs from the training that a checkpoint is of, where that may differ: {option: (there, here)}.

    Raises:
        UsageError: If the data or the class of the optimizer differ.
    """
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
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


def concerns_optimizer(different: dict[str, tuple[Any, Any]]) -> bool:
    """Whether what the checkpoint holds of optimizer and schedule must be changed."""
    return any(key.startswith(("optimizer.", "lr_scheduler.")) for key in different)


def changes_text(different: dict[str, tuple[Any, Any]]) -> str:
    """`learning rate 0.1 → 0.05, epochs 2 → 3`."""
    return ", ".join(f"{NAMES.get(key, key)} {there} → {here}" for key, (there, here) in different.items())


def is_complete(checkpoint: str, max_epochs: int | None, max_steps: int) -> bool:
    """Whether a checkpoint is the end of its training.

    Raises:
        UsageError: If it holds no training's state.
    """
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    if "loops" not in stored:
        raise UsageError(f"{checkpoint} holds weights but no state of a training that could be continued")
    epochs = stored["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    return (max_epochs is not None and 0 <= max_epochs <= epochs) or 0 <= max_steps <= stored["global_step"]


def completed_text(checkpoint: str) -> str:
    """That there is nothing left to do, and what would change that."""
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    epochs = stored["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    return (
        f"{checkpoint} has been trained for {epochs} epochs ({stored['global_step']:,} steps), all that were asked "
        "for; there is nothing left to do, unless --trainer.max_epochs is raised"
    )


def continues_at(checkpoint: str | None) -> int | None:
    """The optimizer step that the next events are of; None for a new training."""
    if checkpoint is None:
        return None
    return torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True).get("global_step")


def has_results(run_dir: Path) -> bool:
    """Whether the run has written down what its training gave."""
    file = run_dir / "results.json"
    try:
        return "fit" in json.loads(file.read_text())
    except (OSError, ValueError):
        return False
