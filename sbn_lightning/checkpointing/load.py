"""A run's checkpoints: which one a command takes, and whether it fits the command's model."""

import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from sbn_lightning.checkpointing.atomic_io import LAST, PREVIOUS, replace_by_link
from sbn_lightning.checkpointing.safe_reading import Stored, read_checkpoint
from sbn_lightning.errors import UsageError


def find_checkpoint(folder: Path, command: str, path: str | None, auto_resume: bool = False) -> str | None:
    """The checkpoint that a command starts from.

    Args:
        folder: The run's checkpoints.
        command: fit, validate, test or predict.
        path: As given: a file, `last` or `best` of the run, or None, which evaluation takes for `last`.
        auto_resume: Whether fit continues the run if there is one in the folder, whatever path says.

    Raises:
        UsageError: If it does not exist, or a new training would write over an old one.
    """
    if command == "fit" and any(folder.glob("*.ckpt")):
        if auto_resume:
            path = "last"
        if path is None:
            raise UsageError(
                f"{folder.parent} holds a training run already; continue it with --ckpt_path last, "
                "or train into another folder with --run_dir DIR"
            )
    if path is None and command == "fit":
        return None
    if path in (None, "last", "best"):
        if command == "fit" and path == "last":
            go_back_if_damaged(folder)
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
    if command == "fit" and any(folder.glob("*.ckpt")) and Path(str(path)).resolve().parent != folder.resolve():
        raise UsageError(
            f"{folder.parent} holds another training run than that of {path}; continue this one in a folder of its own "
            "with --run_dir DIR"
        )
    return path


def go_back_if_damaged(folder: Path) -> None:
    """Put previous.ckpt in the place of a last.ckpt that is cut off, damaged or gone, and say so."""
    last, previous = folder / LAST, folder / PREVIOUS
    if is_whole(last) or not is_whole(previous):
        return
    replace_by_link(previous, last)
    if rank_zero_only.rank == 0:
        text = f"{last} was damaged; training continues from {previous.name}, the checkpoint before it"
        print(text, file=sys.stderr, flush=True)


def is_whole(file: Path) -> bool:
    """Whether a checkpoint is there and can be read to its end."""
    try:
        read_checkpoint(file)
    except ValueError:
        return False
    return True


def check_model(checkpoint: str, stored: Stored, model: dict[str, Any]) -> None:
    """Refuse a checkpoint of another model than the command's.

    Args:
        checkpoint: Path of the file.
        stored: What it holds.
        model: The command's `model` section as plain data.

    Raises:
        UsageError: If backbone or head differ.
    """
    settings = stored.get("hyper_parameters", {})
    theirs, ours = flatten(settings), flatten(model)
    keys = [
        key
        for key in sorted(theirs | ours)
        if key.startswith(("backbone", "head")) and theirs.get(key) != ours.get(key)
    ]
    if settings and keys:
        listed = "; ".join(f"{key} is {theirs.get(key)!r} there, {ours.get(key)!r} here" for key in keys)
        raise UsageError(
            f"{checkpoint} is a checkpoint of another model: model.{listed}; use the config it was trained with"
        )


def check_weights(checkpoint: str, stored: Stored, model: nn.Module) -> None:
    """Refuse a checkpoint whose weights do not fit the model, as those for another number of classes.

    Args:
        checkpoint: Path of the file.
        stored: What it holds.
        model: As it was built.

    Raises:
        UsageError: If names or shapes differ.
    """
    if "pytorch-lightning_version" not in stored:
        raise UsageError(f"{checkpoint} was not written by sbn fit: it lacks the version of its trainer")
    theirs = {name: tuple(weight.shape) for name, weight in stored["state_dict"].items()}
    ours = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    for name in sorted(theirs | ours):
        if theirs.get(name) != ours.get(name):
            there, here = (f"of shape {weights[name]}" if name in weights else "missing" for weights in (theirs, ours))
            raise UsageError(f"{checkpoint} does not fit the model: {name} is {there} there and {here} here")


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
