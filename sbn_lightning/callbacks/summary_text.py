"""A run's record as rows of text for people; see `sbn_lightning.terminal`."""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from sbn_lightning.callbacks.why_apart import why_apart
from sbn_lightning.errors import counted
from sbn_lightning.run.facts import DataFacts, ModuleFacts, TrainingFacts
from sbn_lightning.run.files import BEST, CHECKPOINTS, EVALUATION, LAST, PREDICTIONS
from sbn_lightning.run.interval import interval_text
from sbn_lightning.run.measures import shown_in
from sbn_lightning.run.records import FitResult, Results, Values
from sbn_lightning.terminal import EMPTY, Row, duration, unbroken

MERGED = ", because a few that were left over joined it: batch normalization needs two images, and each device one"
REPORTED = {
    "val": "the last epoch and, separately, the epoch with the best accuracy on held-out images",
    "test_each_epoch": "the last epoch; each epoch is also tested (test_each_epoch/…), and nothing is chosen by that",
    None: "the last epoch",
}
FIRST_PAGE = "http://localhost:6006/#custom_scalars&_smoothingWeight=0"
"""Of TensorBoard, what one should see first: the charts, with the values as they are."""
EVENTS = "TensorBoard events"
"""What the files are called that TensorBoard reads."""
SPLITS = {"test_each_epoch": "test"}
"""The split whose images a stage sees, where it has another name."""


def start_rows(facts: Results, run_dir: Path, writes: Sequence[str], limit_val_batches: float = 1.0) -> list[Row]:
    """Say what a training is about to do.

    Args:
        writes: What it will write into its folder; empty if nothing at all.
        limit_val_batches: As the trainer's setting.
    """
    data, model, training, hardware = facts.data, facts.model, facts.training, facts.hardware
    if data is None or model is None or training is None or hardware is None:
        raise ValueError("these are not the facts of a training")
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.images.items())
    merged = MERGED if (training.last_batch or 0) > data.batch_size else ""
    count, device = training.devices, {"cuda": "GPU", "cpu": "CPU"}.get(hardware.device, hardware.device)
    several = f" in total, {data.batch_size // count} on each of {count} {device} processes"
    several += ", which divide the head's classes" * training.divided_head
    per_device = f"{several if count > 1 else f' on one {device}'} ({hardware.name})"
    clipped = f"; gradients clipped by {training.gradient_clip_algorithm} at {training.gradient_clip}"
    validation = data.validation if limit_val_batches else None
    best = f" ({CHECKPOINTS}/{BEST})" if validation == "val" and f"{CHECKPOINTS}/" in writes else ""
    evaluated_at_once = data.evaluation_batch_size or data.batch_size  # with a limit
    batches = math.ceil(data.images.get(SPLITS.get(validation or "", "val"), 0) / evaluated_at_once)
    looked_at = limit_val_batches if isinstance(limit_val_batches, int) else int(batches * limit_val_batches)
    part = f"; limit_val_batches {limit_val_batches}: of a part of its images" if looked_at < batches else ""
    nothing = "; limit_val_batches 0: nothing is validated" if data.validation else ""
    return [
        ("Data", f"{data.name}: {sizes} images of {'×'.join(map(str, data.shape or []))}, {data.classes} classes"),
        ("", class_sizes_text(data)),
        ("Augmented", augmentation_text(data.augmentation)),
        ("Backbone", module_text(model.backbone)),
        ("Head", module_text(model.head)),
        ("Batch", f"{data.batch_size} images{per_device}; an epoch's last batch holds "
         f"{training.last_batch}{merged}"),
        *([("", accumulation_text(training, data))] if training.accumulate > 1 else []),
        ("Epochs", length_text(training)),
        *(("Limit", text) for text in training.limits),
        ("Optimizer", "; ".join(training.optimizer + training.schedule) + (clipped if training.gradient_clip else "")),
        *(("Callback", text) for text in training.callbacks),
        *(("Changed", text) for text in training.changes),
        ("Precision", f"{training.precision}, seed {training.seed}"),
        ("Reported", REPORTED[validation] + (best + part if validation else nothing)),
        ("Commit", facts.commit or "not in a git checkout"),
        ("Writes", f"{run_dir}/: {', '.join(writes)}" if writes else "nothing, because of fast_dev_run"),
    ]  # fmt: skip


def class_sizes_text(data: DataFacts) -> str:
    """E.g. smallest class 8 (139 training images), largest 1 (146); or 500 training images of each class."""
    smallest, largest = data.smallest_class, data.largest_class
    if smallest is None or largest is None:
        return ""
    if smallest.training_images == largest.training_images:
        return f"{counted(largest.training_images, 'training image')} of each class"
    fewest = counted(smallest.training_images, "training image")
    return f"smallest class {smallest.name} ({fewest}), largest {largest.name} ({largest.training_images:,})"


def accumulation_text(training: TrainingFacts, data: DataFacts) -> str:
    """Say what a step with accumulated gradients is of."""
    return (
        f"a step takes the mean gradient of {training.accumulate} batches: effective batch "
        f"{training.accumulate * data.batch_size}; what normalizes over the batch (batch normalization, SBN) still "
        f"sees {data.batch_size} images at a time"
    )


def length_text(training: TrainingFacts) -> str:
    """E.g. 2 × 12 steps = 24 steps."""
    if training.steps_per_epoch is None:
        return f"{training.epochs} × {counted(training.batches_per_epoch or 0, 'batch', 'es')}"
    per_epoch = counted(training.steps_per_epoch, "step")
    if training.epochs in (None, -1):
        end = f"the training ends after {counted(training.steps, 'step')}" if training.steps else "no end is set"
        return f"of {per_epoch} each; {end}"
    planned = training.epochs * training.steps_per_epoch
    text = f"{training.epochs} × {per_epoch} = {counted(planned, 'step')}"
    return text if training.steps == planned else f"{text}, of which {training.steps:,} are trained"


def end_rows(result: FitResult, images: Mapping[str, int], run_dir: Path) -> list[Row]:
    """Say what a training gave, what it wrote, and what to do next.

    Args:
        images: {split: number of images}.
    """
    shown = [measure.name for measure in shown_in("summary")]
    last = [
        f"{tag} {value:.4f}{counts_text(tag.partition('/')[0], value or 0.0, result, images)}"
        for tag, value in result.last.items()
        if tag.partition("/")[2] in shown
    ]
    best = result.best
    files = (path.relative_to(run_dir) for path in run_dir.rglob("*") if path.is_file())
    names = {EVENTS if "tfevents" in file.name else str(file) for file in files if is_of_training(file)}
    written = sorted(names, key=str.lower)
    done = result.last_epoch if result.epochs_done is None else result.epochs_done
    stopped = f"; stopped by {result.stopped_by}" if result.stopped_by else ""
    is_kept = f"{CHECKPOINTS}/{LAST}" in written
    next_steps = [f"sbn {command} --config {quoted(run_dir)}" for command in ("test", "evaluate") if is_kept]
    if EVENTS in written:
        next_steps.append(f"tensorboard --host localhost --logdir {quoted(run_dir.parent)}")
    return [
        EMPTY,
        ("Trained", f"{done:.4g} epoch{'' if done == 1 else 's'} in {duration(result.seconds)}{stopped}"),
        ("Last epoch" if done == result.last_epoch else "At the end", ", ".join(last) or "nothing was measured"),
        *([("", text)] if (text := why_apart(result)) else []),
        *([("Best epoch", best_text(best, result.last))] if best else []),
        ("Written", f"{run_dir}/: {', '.join(written)}"),
        *next_rows(*next_steps),
        *([("", f"and open {FIRST_PAGE}")] if EVENTS in written else []),
    ]


def is_of_training(file: Path) -> bool:
    """Whether a file in a run's folder is neither temporary nor one that another command writes: `sbn test`,
    `predict`, `evaluate` or `report`."""
    others = file.name.startswith(PREDICTIONS) or file.parts[0].startswith(("report", EVALUATION))
    return file.suffix not in (".lock", ".new", ".npz") and not others


def best_text(best: Values, last: Values) -> str:
    """E.g. val/accuracy 0.9800 in epoch 3, after 36 steps.

    The end of a training is validated in addition to what its settings ask for, and may be better than the best of
    those.
    """
    after = f", after {counted(int(best['step'] or 0), 'step')}" if "step" in best else ""
    text = f"val/accuracy {best['val/accuracy']:.4f} in epoch {best['epoch']}{after}"
    is_better = (last.get("val/accuracy") or 0.0) > (best["val/accuracy"] or 0.0)
    return text + f"; {LAST}, which was also validated at the end, is better" * is_better


def counts_text(stage: str, accuracy: float, result: FitResult, images: Mapping[str, int]) -> str:
    """Say of an accuracy of the last epoch how many images it is of, if these are not all of them, and how sure it is,
    if these are not trained on: an average over an epoch is of as many networks as images."""
    there = images.get(SPLITS.get(stage, stage), 0)
    seen = result.seen.get(stage, there)
    texts = [f"{seen:,} of {there:,} images"] if seen < there else []
    texts += [interval_text(round(accuracy * seen), seen)] if stage != "train" and seen else []
    return f" ({'; '.join(texts)})" if texts else ""


def dry_run_rows(batches: float) -> list[Row]:
    """Say what fast_dev_run has shown."""
    tried = counted(int(batches), "batch", "es")
    return [EMPTY, ("Tried", f"{tried} of training and of validation; nothing was written (fast_dev_run)")]


def next_rows(*commands: str) -> list[Row]:
    """Say what to do next: commands that can be typed as they stand."""
    return [("" if number else "Next", unbroken(command)) for number, command in enumerate(commands)]


def quoted(path: Path) -> str:
    """The path as a word of a shell's command line."""
    return shlex.quote(str(path))


def augmentation_text(augmentation: str | None) -> str:
    """Say what is done to training images, and what mirroring would spoil."""
    if augmentation in (None, "None"):
        return "no"
    mirrored = "flip" in str(augmentation)
    hint = (
        " (half of the images are mirrored, which is wrong for signs and text: --data.horizontal_flip false)"
        if mirrored
        else ""
    )
    return f"{augmentation}{hint}"


def module_text(facts: ModuleFacts) -> str:
    """Name a backbone or a head with its settings and size."""
    settings = ", ".join(f"{name}={value}" for name, value in facts.settings.items())
    return f"{facts.name}({settings}), {facts.parameters:,} parameters"
