"""What a run is about to do, and what came out: as text for people, as results.json for machines."""

import json
import os
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from sbn_lightning.callbacks.run_facts import run_facts

UNEQUAL = 10  # times the smallest class, from which on a larger one is pointed out


class RunSummary(Callback):
    """Prints a run's facts before its first step and its results after its last; keeps both in results.json.

    results.json holds `data`, `model`, `training`, `hardware`, `versions` and `commit` as they were at the start;
    `fit`: seconds, `last` (all metrics of the last epoch), `best` (the epoch chosen on held-out images, where there are
    such) and `epochs` (the evaluation after each epoch); `test` and `validate`: the metrics of these commands.

    Args:
        run_dir: The run's folder.
        seed: seed_everything of the run.
    """

    def __init__(self, run_dir: str, seed: int | bool) -> None:
        self.run_dir = Path(run_dir)
        self.results_file = self.run_dir / "results.json"
        self.seed = seed
        self.epochs: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()
        facts = run_facts(trainer, pl_module, self.seed)  # on every process: Lightning counts the steps together
        if not trainer.is_global_zero:
            return
        self.results_file.unlink(missing_ok=True)  # of the training that this one continues
        self._update_results(facts)
        counts = trainer.datamodule.class_counts
        advice = pl_module.head.advice(counts)
        if counts.max() > UNEQUAL * counts.min():
            advice.append(
                f"The largest class has more than {UNEQUAL} times as many training images as the smallest: "
                "accuracy says little about the small classes."
            )
        warnings = [f"Warning     {sentence}" for sentence in advice]
        print("\n".join([start_text(facts, self.run_dir), *warnings]), flush=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._evaluated(trainer, "validate", "val")
        elif not trainer.sanity_checking:
            stages = ("val/", "test_each_epoch/")
            metrics = {
                name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith(stages)
            }
            self.epochs.append({"epoch": trainer.current_epoch + 1} | metrics)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = sorted(trainer.callback_metrics.items())
        last = {name: value.item() for name, value in metrics if "/" in name and "/batch_" not in name}
        result = {"seconds": time.perf_counter() - self.started, "last_epoch": trainer.current_epoch, "last": last}
        checkpoints = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
        if any(callback.monitor for callback in checkpoints) and self.epochs:
            result["best"] = max(self.epochs, key=lambda epoch: epoch["val/accuracy"])
        self._update_results({"fit": result | {"epochs": self.epochs}})
        print(end_text(result, self.run_dir), flush=True)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._evaluated(trainer, "test", "test")

    @rank_zero_only
    def _evaluated(self, trainer: Trainer, command: str, stage: str) -> None:
        metrics = {name: value.item() for name, value in sorted(trainer.callback_metrics.items())}
        images = trainer.datamodule.num_images[stage]
        correct = round(metrics[f"{stage}/accuracy"] * images)  # float32 tells counts apart up to 8 million images
        result = {"checkpoint": str(trainer.ckpt_path), "images": images, "correct": correct} | metrics
        self._update_results({command: result})
        print(evaluation_text(result, stage, self.results_file), flush=True)

    def _update_results(self, news: dict[str, Any]) -> None:
        """Add to results.json; the file is replaced as a whole, so that a reader never sees half of it."""
        results = json.loads(self.results_file.read_text()) if self.results_file.exists() else {}
        self.run_dir.mkdir(parents=True, exist_ok=True)
        temporary = self.results_file.with_suffix(".json.new")
        temporary.write_text(json.dumps(results | news, indent=1) + "\n")
        os.replace(temporary, self.results_file)


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
        ("Writes", f"{run_dir}/: config.yaml, results.json, TensorBoard events, checkpoints/"),
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
