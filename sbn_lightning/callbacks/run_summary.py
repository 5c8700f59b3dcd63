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
        self._update_results({"run_dir": str(self.run_dir)} | facts)
        print(start_text(facts, self.run_dir), flush=True)
        class_counts = getattr(trainer.datamodule, "class_counts", None)
        for advice in pl_module.head.advice(class_counts) if class_counts is not None else []:
            print(f"Warning     {advice}", flush=True)

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
        last = {name: value.item() for name, value in sorted(trainer.callback_metrics.items())}
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
        result: dict[str, Any] = {"checkpoint": str(trainer.ckpt_path), **metrics}
        text = f"{stage}/accuracy {metrics[f'{stage}/accuracy']:.4f}"
        if hasattr(trainer.datamodule, "num_images"):
            images = trainer.datamodule.num_images[stage]
            # Float32 accuracy tells counts apart up to 8 million images.
            result |= {"images": images, "correct": round(metrics[f"{stage}/accuracy"] * images)}
            text += f" ({result['correct']:,} of {images:,} images)"
        self._update_results({command: result})
        others = [f"{name} {value:.4f}" for name, value in metrics.items() if name != f"{stage}/accuracy"]
        print(
            "\n".join(
                [
                    "",
                    f"Checkpoint  {trainer.ckpt_path}",
                    f"Result      {text}",
                    f"            {', '.join(others)}",
                    f"Written     {self.results_file}",
                ]
            ),
            flush=True,
        )

    def _update_results(self, news: dict[str, Any]) -> None:
        """Add to results.json; the file is replaced as a whole, so that a reader never sees half of it."""
        results = json.loads(self.results_file.read_text()) if self.results_file.exists() else {}
        self.run_dir.mkdir(parents=True, exist_ok=True)
        temporary = self.results_file.with_suffix(".json.new")
        temporary.write_text(json.dumps(results | news, indent=1) + "\n")
        os.replace(temporary, self.results_file)


def start_text(facts: dict[str, Any], run_dir: Path) -> str:
    """What will happen, a line each."""
    data, model, training, hardware = facts["data"], facts["model"], facts["training"], facts["hardware"]
    lines = [("Data", data["name"])]
    if "images" in data:
        sizes = ", ".join(f"{count:,} {split}" for split, count in data["images"].items())
        lines = [
            (
                "Data",
                f"{data['name']}: {sizes} images of {'×'.join(map(str, data['shape']))}, {data['classes']} classes",
            )
        ]
        extremes = (data["smallest_class"], data["largest_class"])
        described = [f"{extreme['training_images']:,} training images ({extreme['name']})" for extreme in extremes]
        lines.append(("", f"smallest class {described[0]}, largest {described[1]}"))
    for part in ("backbone", "head"):
        module = model[part]
        settings = ", ".join(f"{name}={value}" for name, value in module["settings"].items())
        lines.append((part.capitalize(), f"{module['name']}({settings}), {module['parameters']:,} parameters"))
    if "batch_size" in data:
        share = data["batch_size"] // training["devices"]
        devices = f"{training['devices']} {hardware['device']} device{'s' if training['devices'] > 1 else ''}"
        lines.append(
            ("Batch", f"{data['batch_size']} images in total, {share} on each of {devices} ({hardware['name']})")
        )
    steps = f"{training['steps']:,} steps" if training["steps"] else "no end set"
    lines += [
        ("Epochs", f"{training['epochs']} × {training['steps_per_epoch']:,} steps = {steps}"),
        ("Optimizer", "; ".join(training["optimizer"] + training["schedule"])),
        ("Precision", f"{training['precision']}, seed {training['seed']}"),
        ("Reported", REPORTED[data.get("validation")]),
        ("Commit", facts["commit"] or "not in a git checkout"),
        ("Writes", f"{run_dir}/: config.yaml, results.json, TensorBoard events, checkpoints/"),
    ]
    return "\n".join(f"{name:<12}{text}" for name, text in lines)


REPORTED = {
    "val": "the last epoch, and apart the epoch with the best accuracy on held-out images (checkpoints/best.ckpt)",
    "test_each_epoch": "the last epoch; the test set is watched as test_each_epoch/…, and nothing is chosen by it",
    None: "the last epoch",
}


def end_text(result: dict[str, Any], run_dir: Path) -> str:
    """What came out, what was written, and what to do next, a line each."""
    lines = [("Trained", f"{result['last_epoch']} epochs in {result['seconds']:.0f} s")]
    lines += [
        ("Last epoch", f"{name} {value:.4f}") for name, value in result["last"].items() if name.endswith("/accuracy")
    ]
    if "best" in result:
        lines.append(
            ("Best epoch", f"val/accuracy {result['best']['val/accuracy']:.4f} in epoch {result['best']['epoch']:.0f}")
        )
    written = sorted(str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file())
    lines += [
        ("Written", f"{run_dir}/: {', '.join(written)}"),
        ("Next", f"sbn test --config {run_dir}/config.yaml"),
        ("", f"tensorboard --host localhost --logdir {run_dir.parent}"),
    ]
    return "\n".join(["", *(f"{name:<12}{text}" for name, text in lines)])
