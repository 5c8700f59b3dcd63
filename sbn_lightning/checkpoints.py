"""A run's checkpoints: which are written, which one a command takes, and whether it fits the command's model."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from sbn_lightning.cli import UsageError
from sbn_lightning.stored_model import read_checkpoint


def checkpoint_callbacks(folder: Path, held_out: bool) -> list[Callback]:
    """Write the last epoch's checkpoint, last.ckpt; and best.ckpt, by accuracy on held-out images, only if there are
    such."""
    callbacks: list[Callback] = [ModelCheckpoint(folder, filename="last", enable_version_counter=False)]
    if held_out:
        callbacks.append(
            ModelCheckpoint(folder, filename="best", monitor="val/accuracy", mode="max", enable_version_counter=False)
        )
    return callbacks


def find_checkpoint(folder: Path, command: str, path: str | None) -> str | None:
    """The checkpoint that a command starts from.

    Args:
        folder: The run's checkpoints.
        command: fit, validate, test or predict.
        path: As given: a file, `last` or `best` of the run, or None, which evaluation takes for `last`.

    Raises:
        UsageError: If it does not exist, or a new training would write over an old one.
    """
    if path is None and command == "fit":
        if any(folder.glob("*.ckpt")):
            raise UsageError(
                f"{folder.parent} holds a training run already; continue it with --ckpt_path last, "
                "or train into another folder with --run_dir DIR"
            )
        return None
    if path in (None, "last", "best"):
        file = folder / f"{path or 'last'}.ckpt"
        if not file.is_file():
            raise UsageError(
                f"there is no trained checkpoint {file}; train it with sbn fit, name the folder of a trained run with "
                "--run_dir DIR, or a checkpoint with --ckpt_path FILE"
            )
        return str(file)
    if not Path(str(path)).is_file():
        raise UsageError(
            f"there is no checkpoint file {path}; --ckpt_path takes a file, or `last` or `best` of the run"
        )
    return path


def check_model(checkpoint: str, model: dict[str, Any]) -> None:
    """Refuse a checkpoint of another model than the command's.

    Args:
        checkpoint: Path of the file; only plain data and tensors are ever read from it.
        model: The command's `model` section as plain data.

    Raises:
        ValueError: If the file cannot be read.
        UsageError: If backbone or head differ.
    """
    stored = read_checkpoint(checkpoint).get("hyper_parameters", {})
    theirs, ours = flatten(stored), flatten(model)
    keys = [
        key
        for key in sorted(theirs | ours)
        if key.startswith(("backbone", "head")) and theirs.get(key) != ours.get(key)
    ]
    if stored and keys:
        listed = "; ".join(f"{key} is {theirs.get(key)!r} there, {ours.get(key)!r} here" for key in keys)
        raise UsageError(
            f"{checkpoint} is a checkpoint of another model: model.{listed}; use the config it was trained with"
        )


def check_weights(checkpoint: str, model: nn.Module) -> None:
    """Refuse a checkpoint whose weights do not fit the model, as those for another number of classes.

    Raises:
        UsageError: If names or shapes differ.
    """
    stored = read_checkpoint(checkpoint)
    if "pytorch-lightning_version" not in stored:
        raise UsageError(f"{checkpoint} was not written by sbn fit: it lacks the version of its trainer")
    theirs = {name: tuple(weight.shape) for name, weight in stored["state_dict"].items()}
    ours = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    for name in sorted(theirs | ours):
        if theirs.get(name) != ours.get(name):
            there, here = (f"of shape {weights[name]}" if name in weights else "missing" for weights in (theirs, ours))
            raise UsageError(f"{checkpoint} does not fit the model: {name} is {there} there and {here} here")


def check_unfinished(checkpoint: str, max_epochs: int | None) -> None:
    """Refuse to continue a training that is complete, and so leave its results alone.

    Raises:
        UsageError: If the checkpoint was written at the end of the last epoch, or holds no training's state.
    """
    stored = read_checkpoint(checkpoint)
    try:
        ended = stored["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{checkpoint} holds weights but no state of a training that could be continued") from error
    if ended and max_epochs is not None and 0 <= max_epochs <= stored["epoch"] + 1:
        raise UsageError(
            f"{checkpoint} has been trained for {stored['epoch'] + 1} of {max_epochs} epochs; there is nothing left to "
            "do, unless --trainer.max_epochs is raised"
        )


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
