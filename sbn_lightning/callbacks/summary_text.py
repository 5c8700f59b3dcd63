"""A run's facts and results as text for people."""

from pathlib import Path
from typing import Any


def start_text(facts: dict[str, Any], run_dir: Path) -> str:
    """What will happen."""
    data, training, hardware = facts["data"], facts["training"], facts["hardware"]
    sizes = ", ".join(f"{count:,} {split}" for split, count in data["images"].items())
    shape = "×".join(map(str, data["shape"]))
    smallest, largest = (
        f"{extreme['training_images']:,} training images ({extreme['name']})"
        for extreme in (data["smallest_class"], data["largest_class"])
    )
    modules = {
        part: f"{module['name']}({', '.join(f'{name}={value}' for name, value in module['settings'].items())}), "
        f"{module['parameters']:,} parameters"
        for part, module in facts["model"].items()
    }
    devices = f"{training['devices']} {hardware['device']} device{'s' if training['devices'] > 1 else ''}"
    steps = f"{training['steps']:,} steps" if training["steps"] else "no end set"
    return table(
        ("Data", f"{data['name']}: {sizes} images of {shape}, {data['classes']} classes"),
        ("", f"smallest class {smallest}, largest {largest}"),
        ("Backbone", modules["backbone"]),
        ("Head", modules["head"]),
        (
            "Batch",
            f"{data['batch_size']} images in total, {data['batch_size'] // training['devices']} on each of {devices} "
            f"({hardware['name']}); an epoch's last batch holds {training['last_batch']}"
            + (MERGED if training["last_batch"] > data["batch_size"] else ""),
        ),
        ("Epochs", f"{training['epochs']} × {training['steps_per_epoch']:,} steps = {steps}"),
        ("Optimizer", "; ".join(training["optimizer"] + training["schedule"])),
        ("Precision", f"{training['precision']}, seed {training['seed']}"),
        ("Reported", REPORTED[data["validation"]]),
        ("Commit", facts["commit"] or "not in a git checkout"),
        ("Writes", f"{run_dir}/: config.yaml, results.json, metrics.csv, TensorBoard events, checkpoints/"),
    )


MERGED = ", the few that are left over included: batch normalization needs two images and each device at least one"

REPORTED = {
    "val": "the last epoch, and apart the epoch with the best accuracy on held-out images (checkpoints/best.ckpt)",
    "test_each_epoch": "the last epoch; the test set is watched as test_each_epoch/…, and nothing is chosen by it",
    None: "the last epoch",
}


def end_text(result: dict[str, Any], run_dir: Path) -> str:
    """What training gave, what was written, and what to do next."""
    accuracies = [f"{name} {value:.4f}" for name, value in result["last"].items() if name.endswith("/accuracy")]
    best = result.get("best")
    written = sorted(str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file())
    return "\n" + table(
        ("Trained", f"{result['last_epoch']} epochs in {result['seconds']:.0f} s"),
        ("Last epoch", ", ".join(accuracies)),
        *([("Best epoch", f"val/accuracy {best['val/accuracy']:.4f} in epoch {best['epoch']}")] if best else []),
        ("Written", f"{run_dir}/: {', '.join(written)}"),
        ("Next", f"sbn test --config {run_dir}"),
        ("", f"tensorboard --host localhost --logdir {run_dir.parent}"),
    )


def evaluation_text(result: dict[str, Any], stage: str, results_file: Path) -> str:
    """What evaluation gave."""
    accuracy = f"{stage}/accuracy"
    others = [f"{name} {value:.4f}" for name, value in result.items() if "/" in name and name != accuracy]
    return "\n" + table(
        ("Checkpoint", result["checkpoint"]),
        ("Result", f"{accuracy} {result[accuracy]:.4f} ({result['correct']:,} of {result['images']:,} images)"),
        ("", ", ".join(others)),
        ("Written", str(results_file)),
    )


def table(*rows: tuple[str, str]) -> str:
    """Names and texts in two columns."""
    return "\n".join(f"{name:<12}{text}" for name, text in rows)
