"""The checkpoint that a command starts from: found once, read once, compared once with what the command would build."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from sbn_lightning.checkpointing.atomic_io import replace_by_link
from sbn_lightning.checkpointing.compare_settings import (
    Differences,
    changes,
    differences,
    flatten,
    listed,
    run_settings,
)
from sbn_lightning.checkpointing.lightning_internals import finished_epochs
from sbn_lightning.checkpointing.process_state import RunState
from sbn_lightning.checkpointing.safe_reading import Stored, read_checkpoint
from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import CHECKPOINTS, LAST, PREVIOUS


@dataclass
class OpenedRun:
    """A checkpoint that fits the command, and what follows from it.

    Attributes:
        path: Of the file.
        content: What it holds.
        changes: Settings that differ from those of the run so far.
        complete: Whether the run was trained for as long as the command asks.
    """

    path: str
    content: Stored
    changes: Differences = field(default_factory=dict)
    complete: bool = False

    @property
    def step(self) -> int:
        """Optimizer steps that the checkpoint has been trained for."""
        step: int = self.content["global_step"]
        return step

    def complete_text(self) -> str:
        """Return the message for a run that is already complete."""
        return (
            f"{self.path} has been trained for {finished_epochs(self.content)} epochs ({self.step:,} steps), as many "
            "as the command asks for; to train for longer, raise --trainer.max_epochs"
        )

    def check_weights(self, model: nn.Module) -> None:
        """Refuse weights that do not fit the model, such as those for another number of classes.

        Raises:
            UsageError: If names or shapes differ.
        """
        theirs = {name: tuple(weight.shape) for name, weight in self.content["state_dict"].items()}
        ours = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
        for name in sorted(theirs | ours):
            if theirs.get(name) != ours.get(name):
                there, here = (f"of shape {shapes[name]}" if name in shapes else "missing" for shapes in (theirs, ours))
                raise UsageError(f"{self.path} does not fit the model: {name} is {there} there and {here} here")


def open_run(
    run_dir: Path, command: str, ckpt_path: str | None, auto_resume: bool, config: Mapping[str, Any]
) -> OpenedRun | None:
    """Find, read and compare the checkpoint that a command starts from.

    Args:
        run_dir: The run's folder.
        command: fit, validate, test or predict.
        ckpt_path: A file, `last` or `best` of the run, or None, which evaluation takes for `last`.
        auto_resume: Whether fit continues the run if there is one in the folder, whatever ckpt_path says.
        config: The whole config of the command, as plain data.

    Returns:
        None for a new training.

    Raises:
        UsageError: If there is no such checkpoint, it cannot be read, it is of another model, data or optimizer than
            the command's, or a new training would overwrite an old one.
    """
    folder = run_dir / CHECKPOINTS
    path = find_checkpoint(folder, command, ckpt_path, auto_resume)
    if path is None:
        return None
    can_go_back = command == "fit" and path == folder / LAST
    opened = OpenedRun(str(path), read_newest(folder) if can_go_back else read_checkpoint(path))
    if "pytorch-lightning_version" not in opened.content:
        raise UsageError(f"{path} was not written by sbn fit: it lacks the version of its trainer")
    check_model(opened, config["model"])
    if command == "fit":
        opened.complete = is_complete(opened, config["trainer"])
        there = RunState.read(opened.content, source=opened.path).settings
        opened.changes = changes(opened.path, there, run_settings(config)) if there else {}  # nothing: a foreign file
    return opened


def find_checkpoint(folder: Path, command: str, given: str | None, auto_resume: bool) -> Path | None:
    """Return the file that a command starts from; None for a new training. See `open_run`."""
    has_run = any(folder.glob("*.ckpt"))
    if command == "fit" and has_run and auto_resume:
        given = "last"
    if command == "fit" and given is None:
        if has_run:
            raise UsageError(
                f"{folder.parent} already contains a training run; continue it with --ckpt_path last, "
                "or train into another folder with --run_dir DIR"
            )
        return None
    if given in (None, "last", "best"):
        file = folder / f"{given or 'last'}.ckpt"
        if not file.is_file() and not (command == "fit" and given == "last" and (folder / PREVIOUS).is_file()):
            raise UsageError(
                f"there is no trained checkpoint {file}; train it with sbn fit, name the folder of a trained run with "
                "--run_dir DIR, or a checkpoint with --ckpt_path FILE"
            )
        return file
    file = Path(str(given))
    if not file.is_file():
        raise UsageError(
            f"there is no checkpoint file {file}; --ckpt_path takes a file, or `last` or `best` of the run"
        )
    if command == "fit" and has_run and file.resolve().parent != folder.resolve():
        raise UsageError(
            f"{folder.parent} contains a different training run than {file}; continue {file} in its own folder, named "
            "with --run_dir DIR"
        )
    return file


def read_newest(folder: Path) -> Stored:
    """Read last.ckpt; if it is damaged or missing, put previous.ckpt in its place, and say so."""
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        return read_checkpoint(last)
    except UsageError as error:
        try:
            stored = read_checkpoint(previous)
        except UsageError:
            raise error from None
    replace_by_link(previous, last)
    if rank_zero_only.rank == 0:
        text = f"{last} was damaged; training continues from {previous.name}, the checkpoint before it"
        print(text, file=sys.stderr, flush=True)
    return stored


def check_model(opened: OpenedRun, model: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose backbone or head has other settings than the command's."""
    stored = opened.content.get("hyper_parameters", {})
    if different := differences(flatten(stored), flatten(model), ("backbone", "head")) if stored else {}:
        raise UsageError(
            f"{opened.path} is a checkpoint of another model: model.{listed(different)}; use the config it was trained "
            "with"
        )


def is_complete(opened: OpenedRun, trainer: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is the end of its training.

    Raises:
        UsageError: If it holds no training state.
    """
    try:
        epochs, step = finished_epochs(opened.content), opened.step
        max_epochs, max_steps = trainer["max_epochs"], trainer["max_steps"]
        return (max_epochs is not None and 0 <= max_epochs <= epochs) or 0 <= max_steps <= step
    except (KeyError, TypeError) as error:
        raise UsageError(f"{opened.path} contains weights but no training state to resume from") from error


def check_images(there: Mapping[str, int], here: Mapping[str, int]) -> None:
    """Refuse to continue on another number of images; the settings do not tell if a folder's content has changed."""
    if there and dict(there) != dict(here):
        counts = (f"{split}: {there.get(split, 0):,} there, {here.get(split, 0):,} here" for split in {**there, **here})
        raise UsageError(
            f"the checkpoint is of a training on other images than the command's ({'; '.join(counts)}); continue it on "
            "the same images, or train into another folder with --run_dir DIR"
        )
