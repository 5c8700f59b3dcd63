"""A run's record as text for people."""

from pathlib import Path

from sbn_lightning.run.files import BEST, CHECKPOINTS, CONFIG, METRICS, METRICS_TABLE, RESULTS
from sbn_lightning.run.measures import shown_in
from sbn_lightning.run.records import Evaluation, FitResult, ModuleFacts, Results

MERGED = ", the few that are left over included: batch normalization needs two images and each device at least one"
REPORTED = {
    "val": "the last epoch and, separately, the epoch with the best accuracy on held-out images "
    f"({CHECKPOINTS}/{BEST})",
    "test_each_epoch": "the last epoch; the test set is watched as test_each_epoch/…, and nothing is chosen by it",
    None: "the last epoch",
}


def start_text(facts: Results, run_dir: Path) -> str:
    """Say what a training is about to do."""
    data, model, training, hardware = facts.data, facts.model, facts.training, facts.hardware
    if data is None or model is None or training is None or hardware is None:
        raise ValueError("these are not the facts of a training")
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.images.items())
    extremes = filter(None, (data.smallest_class, data.largest_class))
    smallest, largest = (f"{facts.training_images:,} training images ({facts.name})" for facts in extremes)
    merged = MERGED if (training.last_batch or 0) > data.batch_size else ""
    per_device = f"{data.batch_size // training.devices} on each of {training.devices} {hardware.device} device"
    per_device += f"{'s' if training.devices > 1 else ''} ({hardware.name})"
    steps = f"{training.steps:,} steps" if training.steps else "no end set"
    return table(
        ("Data", f"{data.name}: {sizes} images of {'×'.join(map(str, data.shape or []))}, {data.classes} classes"),
        ("", f"smallest class {smallest}, largest {largest}"),
        ("Augmented", augmentation_text(data.augmentation)),
        ("Backbone", module_text(model.backbone)),
        ("Head", module_text(model.head)),
        ("Batch", f"{data.batch_size} images in total, {per_device}; an epoch's last batch holds "
         f"{training.last_batch}{merged}"),
        ("Epochs", f"{training.epochs} × {training.steps_per_epoch:,} steps = {steps}"),
        ("Optimizer", "; ".join(training.optimizer + training.schedule)),
        ("Precision", f"{training.precision}, seed {training.seed}"),
        ("Reported", REPORTED[data.validation]),
        ("Commit", facts.commit or "not in a git checkout"),
        ("Writes", f"{run_dir}/: {CONFIG}, {RESULTS}, {METRICS}, {METRICS_TABLE}, TensorBoard events, {CHECKPOINTS}/"),
    )  # fmt: skip


def end_text(result: FitResult, run_dir: Path) -> str:
    """Say what a training gave, what it wrote, and what to do next."""
    names = [measure.name for measure in shown_in("summary")]
    last = [f"{tag} {value:.4f}" for tag, value in result.last.items() if tag.partition("/")[2] in names]
    best = result.best
    files = (path for path in run_dir.rglob("*") if path.is_file() and path.suffix not in (".lock", ".new"))
    written = sorted(str(path.relative_to(run_dir)) for path in files)
    return "\n" + table(
        ("Trained", f"{result.last_epoch} epochs in {result.seconds:.0f} s"),
        ("Last epoch", ", ".join(last)),
        *([("Best epoch", f"val/accuracy {best['val/accuracy']:.4f} in epoch {best['epoch']}")] if best else []),
        ("Written", f"{run_dir}/: {', '.join(written)}"),
        ("Next", f"sbn test --config {run_dir}"),
        ("", f"tensorboard --host localhost --logdir {run_dir.parent}"),
    )


def evaluation_text(result: Evaluation, name: str, run_dir: Path) -> str:
    """Say what an evaluation gave, and under which name the run's record keeps it."""
    texts = {name: f"{result.stage}/{name} {value:.4f}" for name, value in result.metrics.items()}
    return "\n" + table(
        ("Checkpoint", result.checkpoint),
        ("Result", f"{texts.pop('accuracy')} ({result.correct:,} of {result.images:,} images)"),
        ("", ", ".join(texts.values())),
        ("Written", f"{run_dir / RESULTS}, as {name}"),
    )


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
