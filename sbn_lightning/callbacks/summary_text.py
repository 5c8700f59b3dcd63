"""A run's record as text for people."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from sbn_lightning.run.files import BEST, CHECKPOINTS, LAST, RESULTS
from sbn_lightning.run.measures import shown_in
from sbn_lightning.run.records import DataFacts, Evaluation, FitResult, ModuleFacts, Results, TrainingFacts

MERGED = ", the few that are left over included: batch normalization needs two images and each device at least one"
REPORTED = {
    "val": "the last epoch and, separately, the epoch with the best accuracy on held-out images",
    "test_each_epoch": "the last epoch; the test set is watched as test_each_epoch/…, and nothing is chosen by it",
    None: "the last epoch",
}
SPLITS = {"test_each_epoch": "test"}
"""The split whose images a stage sees, where it has another name."""


def start_text(facts: Results, run_dir: Path, writes: Sequence[str], limit_val_batches: float = 1.0) -> str:
    """Say what a training is about to do.

    Args:
        writes: What it will write into its folder; empty if nothing at all.
        limit_val_batches: As the trainer's setting.
    """
    data, model, training, hardware = facts.data, facts.model, facts.training, facts.hardware
    if data is None or model is None or training is None or hardware is None:
        raise ValueError("these are not the facts of a training")
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.images.items())
    extremes = filter(None, (data.smallest_class, data.largest_class))
    smallest, largest = (f"{facts.training_images:,} training images ({facts.name})" for facts in extremes)
    merged = MERGED if (training.last_batch or 0) > data.batch_size else ""
    per_device = f"{data.batch_size // training.devices} on each of {training.devices} {hardware.device} device"
    per_device += f"{'s' if training.devices > 1 else ''} ({hardware.name})"
    clipped = f"; gradients clipped by {training.gradient_clip_algorithm} at {training.gradient_clip}"
    best = f" ({CHECKPOINTS}/{BEST})" if data.validation == "val" and f"{CHECKPOINTS}/" in writes else ""
    is_whole = isinstance(limit_val_batches, float) and limit_val_batches == 1  # 1 is one batch, 1.0 are all
    part = "" if is_whole else f"; limit_val_batches {limit_val_batches}: of a part of its images"
    return table(
        ("Data", f"{data.name}: {sizes} images of {'×'.join(map(str, data.shape or []))}, {data.classes} classes"),
        ("", f"smallest class {smallest}, largest {largest}"),
        ("Augmented", augmentation_text(data.augmentation)),
        ("Backbone", module_text(model.backbone)),
        ("Head", module_text(model.head)),
        ("Batch", f"{data.batch_size} images in total, {per_device}; an epoch's last batch holds "
         f"{training.last_batch}{merged}"),
        *([("", accumulation_text(training, data))] if training.accumulate > 1 else []),
        ("Epochs", length_text(training)),
        *(("Limit", text) for text in training.limits),
        ("Optimizer", "; ".join(training.optimizer + training.schedule) + (clipped if training.gradient_clip else "")),
        *(("Callback", text) for text in training.callbacks),
        *(("Changed", text) for text in training.changes),
        ("Precision", f"{training.precision}, seed {training.seed}"),
        ("Reported", REPORTED[data.validation] + best + (part if data.validation else "")),
        ("Commit", facts.commit or "not in a git checkout"),
        ("Writes", f"{run_dir}/: {', '.join(writes)}" if writes else "nothing, because of fast_dev_run"),
    )  # fmt: skip


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
        return f"{training.epochs} × {training.batches_per_epoch:,} batches"
    per_epoch = f"{training.steps_per_epoch:,} steps"
    if training.epochs in (None, -1):
        end = f"{training.steps:,} steps" if training.steps else "no end set"
        return f"no number set, of {per_epoch} each: {end}"
    planned = training.epochs * training.steps_per_epoch
    text = f"{training.epochs} × {per_epoch} = {planned:,} steps"
    return text if training.steps == planned else f"{text}, of which {training.steps:,} are done"


def end_text(result: FitResult, images: Mapping[str, int], run_dir: Path) -> str:
    """Say what a training gave, what it wrote, and what to do next.

    Args:
        images: {split: number of images}.
    """
    names = [measure.name for measure in shown_in("summary")]
    last = [
        f"{tag} {value:.4f}{seen_text(tag.partition('/')[0], result, images)}"
        for tag, value in result.last.items()
        if tag.partition("/")[2] in names
    ]
    best = result.best
    files = (path for path in run_dir.rglob("*") if path.is_file() and path.suffix not in (".lock", ".new"))
    written = sorted(str(path.relative_to(run_dir)) for path in files)
    done = result.last_epoch if result.epochs_done is None else result.epochs_done
    stopped = f"; stopped by {result.stopped_by}" if result.stopped_by else ""
    next_steps = [f"sbn test --config {quoted(run_dir)}"] if f"{CHECKPOINTS}/{LAST}" in written else []
    if any("tfevents" in name for name in written):
        next_steps.append(f"tensorboard --host localhost --logdir {quoted(run_dir.parent)}")
    return "\n" + table(
        ("Trained", f"{done:.4g} epoch{'' if done == 1 else 's'} in {result.seconds:.0f} s{stopped}"),
        ("Last epoch" if done == result.last_epoch else "At the end", ", ".join(last) or "nothing was measured"),
        *([("Best epoch", best_text(best))] if best or "val" in images else []),
        ("Written", f"{run_dir}/: {', '.join(written)}"),
        *zip(["Next", *[""] * len(next_steps)], next_steps, strict=False),
    )


def best_text(best: Mapping[str, float | None] | None) -> str:
    """E.g. val/accuracy 0.9800 in epoch 3, after 36 steps."""
    if best is None:
        return f"none: no held-out image was seen before the training's end, so that there is no {BEST}"
    after = f", after {best['step']:,} steps" if "step" in best else ""
    return f"val/accuracy {best['val/accuracy']:.4f} in epoch {best['epoch']}{after}"


def seen_text(stage: str, result: FitResult, images: Mapping[str, int]) -> str:
    """Say how many images a value of the last epoch is of, if these are not all of them."""
    there = images.get(SPLITS.get(stage, stage), 0)
    seen = result.seen.get(stage, there)
    return f" ({seen:,} of {there:,} images)" if seen < there else ""


def dry_run_text(batches: float) -> str:
    """Say what fast_dev_run has shown."""
    number = "1 batch" if batches == 1 else f"{batches:,} batches"
    return f"\nTried       {number} of training and of validation; nothing was written (fast_dev_run)"


def evaluation_text(result: Evaluation, name: str, run_dir: Path | None) -> str:
    """Say what an evaluation gave, and under which name the run's record keeps it, if it is written at all."""
    texts = {name: f"{result.stage}/{name} {value:.4f}" for name, value in result.metrics.items()}
    counts = f"{result.correct:,} of {result.images:,} images"
    if result.is_partial:
        counts = f"{result.correct:,} of {result.images:,} images seen, of {result.available:,}"
    kept = ": a part of the images replaces no evaluation of all of them" if result.is_partial else ""
    return "\n" + table(
        ("Checkpoint", result.checkpoint),
        ("Result", f"{texts.pop('accuracy')} ({counts})"),
        ("", ", ".join(texts.values())),
        ("Written", f"{run_dir / RESULTS}, as {name}{kept}" if run_dir else "nothing (fast_dev_run)"),
    )


def prediction_text(file: Path, seen: int, available: int) -> str:
    """Say where the predictions are, and of how many images if these are not all."""
    return table(("Written", str(file) + (f" ({seen:,} of {available:,} images)" if seen < available else "")))


def quoted(path: Path) -> str:
    """The path as a word of a shell's command line."""
    return shlex.quote(str(path))


def augmentation_text(augmentation: str | None) -> str:
    """Say what is done to training images, and what mirroring would spoil."""
    if augmentation in (None, "None"):
        return "no"
    mirrored = "flip" in str(augmentation)
    hint = " (mirrored: not for signs, text or left and right; --data.horizontal_flip false)" if mirrored else ""
    return f"{augmentation}{hint}"


def module_text(facts: ModuleFacts) -> str:
    """Name a backbone or a head with its settings and size."""
    settings = ", ".join(f"{name}={value}" for name, value in facts.settings.items())
    return f"{facts.name}({settings}), {facts.parameters:,} parameters"


def table(*rows: tuple[str, str]) -> str:
    """Join names and texts in two columns."""
    return "\n".join(f"{name:<12}{text}" for name, text in rows)
