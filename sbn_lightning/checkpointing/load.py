"""The checkpoint that a command starts from: found once, read once, compared once with what the command would build."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from sbn_lightning.checkpointing.changed_settings import (
    Differences,
    changes,
    differences,
    listed,
    other_images,
    run_settings,
)
from sbn_lightning.checkpointing.checkpoint_file import digest_of, read_checkpoint
from sbn_lightning.checkpointing.ends import why_complete
from sbn_lightning.checkpointing.lightning_internals import finished_epochs
from sbn_lightning.config_files import other_runs
from sbn_lightning.errors import UsageError, named
from sbn_lightning.run.continuation import finished_results, has_recorded
from sbn_lightning.run.files import CHECKPOINTS, FINISHED, LAST, PREVIOUS, replace_by_link, user_path
from sbn_lightning.run.identity import Evaluated, StoredRun, TrainedOn, stored_run
from sbn_lightning.run.records import read_results
from sbn_lightning.terminal import show


@dataclass
class OpenedRun:
    """A checkpoint that fits the command."""

    path: str
    content: dict[str, Any]
    epochs: int = 0  # how long it has been trained, as the next one
    step: int | None = 0
    complete: str = ""  # why that is as long as the command asks; empty if it is not
    changes: Differences = field(default_factory=dict)  # the command's settings that differ from those of the run
    run: StoredRun = field(default_factory=StoredRun)  # what the run has added to it

    def check_data(self, here: TrainedOn, is_fit: bool, allow_other: bool) -> None:
        """Refuse data of other classes or another image size than those that the model was trained on.

        A training is continued on the same images only. An evaluation may see others; with `allow_other` it may see
        everything but another number of classes, since the model has an output for each.
        """
        there = self.run.data
        different = there.other_in(here) if there else []
        arguments = self.content.get("hyper_parameters", {})
        trained_for, count = arguments.get("num_classes", len(here.class_names)), len(here.class_names)
        if trained_for != count:
            different = [f"it was trained for {trained_for} classes, and these data have {count}", *different]
        if different and (trained_for != count or not allow_other):
            advice = "" if trained_for != count else ", or use these anyway with --allow_other_data true"
            raise UsageError(
                f"{self.path} was trained on other data: {'; '.join(different)}; name the data it was trained on, or "
                f"data of the same classes, with --data.root DIR{advice}"
            )

        if different and rank_zero_only.rank == 0:
            text = "; ".join(different)
            show(("Other data", f"{text}; output k of the model is taken for class k of these data"))
        if is_fit and there and (different_images := there.other_images_in(here)):
            raise UsageError(
                f"{self.path} was trained on other images than the command's ({different_images}); continue it on the "
                "same images, or train into another folder with --run_dir DIR"
            )

    def evaluated(self, own_checkpoints: Path) -> Evaluated:
        """Return what is recorded of the checkpoint with its evaluation in the run that has these checkpoints."""
        file = Path(self.path)
        is_of_run = file.resolve().parent == own_checkpoints.resolve()
        return Evaluated(file, is_of_run, self.step, digest_of(file), self.run)

    def check_weights(self, model: nn.Module) -> None:
        """Refuse weights that do not fit the model, such as those for another number of classes."""
        states = (self.content["state_dict"], model.state_dict())
        theirs, ours = ({name: f"of shape {tuple(weight.shape)}" for name, weight in s.items()} for s in states)
        for name, (there, here) in differences(theirs, ours).items():
            raise UsageError(
                f"{self.path} does not fit the model: {name} is {there or 'missing'} there and {here or 'missing'} here"
            )


class Restoring(Callback):
    """Names the checkpoint in what goes wrong before the first batch of a command that starts from one.

    Until then only the state of the training is restored, of which Lightning checks little: whatever it trips over, the
    user needs the file's name. The optimizer's part is used only in its first step, after the model's own code.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_done, self.has_stepped = False, False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.is_done = True

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.is_done = self.has_stepped

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.is_done = self.has_stepped = True

    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = on_train_batch_start

    @contextmanager
    def named(self) -> Iterator[None]:
        try:
            yield
        except (UsageError, MisconfigurationException, OSError):  # the last of what is written
            raise
        except Exception as error:
            if self.is_done:
                raise
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise UsageError(
                f"{self.path} cannot be used: the state of its training is damaged, or that of another program ({text})"
            ) from error


def open_run(
    run_dir: Path, command: str, ckpt_path: str | None, auto_resume: bool, config: Mapping[str, Any]
) -> OpenedRun | None:
    """Find, read and compare the checkpoint that a command starts from; None for a new training.

    Args:
        run_dir: The run's folder.
        command: fit, validate, test or predict.
        ckpt_path, auto_resume: The options; evaluation takes None for `last`.
        config: The whole config of the command, as plain data.

    Raises:
        UsageError: If there is no such checkpoint, it cannot be read, it holds no training state to continue, it is of
            another model, data or optimizer than the command's, a new training would overwrite an old one, or the
            run's record is damaged.
    """
    folder = run_dir / CHECKPOINTS
    read_results(run_dir)  # a damaged record is refused here, before anything takes its place
    file = find_checkpoint(folder, command, ckpt_path, auto_resume)
    if file is None:
        return None
    content = read_newest(folder) if command == "fit" and file == folder / LAST else read_checkpoint(file)
    if "pytorch-lightning_version" not in content:
        raise UsageError(f"{file} was not written by sbn fit: it lacks the version of its trainer")
    arguments = content.get("hyper_parameters", {})
    theirs, ours = ({key: model.get(key) for key in ("backbone", "head")} for model in (arguments, config["model"]))
    if arguments and (different := differences(theirs, ours)):
        raise UsageError(
            f"{file} is a checkpoint of another model: model.{listed(different)}; use the config it was trained with"
        )
    run = stored_run(file, content)
    if command == "fit":
        opened, finished = opened_training(str(file), content, run, config), folder / FINISHED
        if opened.complete and file == folder / LAST and finished.is_file():
            # A continuation was interrupted. If what it continued is all that the command asks for, that is finished.
            content = read_checkpoint(finished)
            before = opened_training(str(finished), content, stored_run(finished, content), config)
            if before.complete and has_recorded(run_dir, before.epochs, before.step or 0):
                return before
        return opened
    other = other_images(command, run.settings, run_settings(config))
    if other and not config["allow_other_data"]:
        raise UsageError(
            f"{file} was trained with other settings of the data: {listed(other)}; use its own, or evaluate with these "
            "anyway with --allow_other_data true"
        )
    return OpenedRun(str(file), content, step=content.get("global_step"), run=run)


def find_checkpoint(folder: Path, command: str, given: str | None, auto_resume: bool) -> Path | None:
    """Return the file that a command starts from; None for a new training. See `open_run`."""
    is_fit, has_run = command == "fit", any(folder.glob("*.ckpt"))
    if not is_fit:
        given = given or "last"
    elif has_run and auto_resume:
        given = "last"
    if given is None:
        if has_run:
            raise UsageError(
                f"{folder.parent} already contains a training run; continue it with --ckpt_path last, or train into "
                "another folder with --run_dir DIR"
            )
        if finished_results(folder.parent):
            raise UsageError(
                f"{folder.parent} holds the results of a finished training, whose checkpoints are gone; train into "
                "another folder with --run_dir DIR"
            )
        return None
    file = folder / f"{given}.ckpt" if given in ("last", "best") else user_path(given)
    can_go_back = is_fit and file == folder / LAST and (folder / PREVIOUS).is_file()
    if not file.is_file() and not can_go_back:
        raise UsageError(f"the checkpoint {file} does not exist; {what_there_is(folder)}")
    if is_fit and has_run and file.resolve().parent != folder.resolve():
        raise UsageError(
            f"{folder.parent} contains a different training run than {file}; continue {file} in its own folder, named "
            "with --run_dir DIR"
        )
    return file


def what_there_is(folder: Path) -> str:
    """Say which checkpoints there are instead of one that is not found, or which runs instead of theirs."""
    there = sorted(file.stem for file in folder.glob("*.ckpt") if file.name != PREVIOUS)
    if there:
        best = (
            ""
            if "best" in there
            else "; best.ckpt is written only if images are held out (--data.validation_fraction 0.1)"
        )
        return f"the run has {named(there)}: name one with --ckpt_path, or another file{best}"
    run = folder.parent
    return (
        f"{run} contains no trained run: train one with sbn fit, or name another run with --config DIR or --run_dir "
        f"DIR ({other_runs(run.parent)})"
    )


def read_newest(folder: Path) -> dict[str, Any]:
    """Read last.ckpt; if it is damaged or missing, put previous.ckpt in its place, and say so."""
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        return read_checkpoint(last)
    except UsageError as error:
        try:
            content = read_checkpoint(previous)
        except UsageError:
            raise error from None
    replace_by_link(previous, last)
    if rank_zero_only.rank == 0:
        text = f"{last} was damaged; training continues from {previous.name}, the checkpoint before it"
        show(("Warning", text), file=sys.stderr)
    return content


def opened_training(path: str, content: dict[str, Any], run: StoredRun, config: Mapping[str, Any]) -> OpenedRun:
    """Return a checkpoint of a training, with how far it is and what the command changes in it."""
    try:
        epochs, step, complete = finished_epochs(content), content["global_step"], why_complete(content, config)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path} contains weights but no training state to resume from") from error
    different = changes(path, run.settings, run_settings(config)) if run.settings else {}
    return OpenedRun(path, content, epochs, step, complete and f"{path} {complete}", different, run)
