"""Run folders that no training made, with outcomes that a test chooses. Their numbers mean nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from sbn_lightning.run import records
from sbn_lightning.run.arrays import TEST_ARRAYS
from sbn_lightning.run.facts import DataFacts, HardwareFacts, ModelFacts, ModuleFacts, TrainingFacts
from sbn_lightning.run.files import GRID, METRICS_TABLE, RESULTS
from sbn_lightning.run.grid_records import Grid, PlannedRun
from sbn_lightning.run.records import Results, write_record

SBN = ModuleFacts("ScaledBatchNormHead", {"scale": 0.9, "eps": 1e-05, "momentum": 0.1}, title="SBN")
SOFTMAX = ModuleFacts("SoftmaxHead", {}, title="softmax")
AM_SOFTMAX = ModuleFacts("AMSoftmaxHead", {"scale": 7.5, "margin": 0.35}, title="AM-Softmax")


def sbn(scale: float) -> ModuleFacts:
    """Scaled batch normalization with another scale."""
    return replace(SBN, settings=SBN.settings | {"scale": scale})


def results(
    accuracy: float,
    head: ModuleFacts = SBN,
    seed: int = 0,
    *,
    dataset: str = "MadeUp",
    backbone: str = "ResNet18",
    classes: int = 10,
    images: int = 1000,
    epochs: Sequence[float] = (),
    **facts: Any,
) -> Results:
    """results.json of a finished run.

    Args:
        accuracy: Of the last checkpoint on the test set, in percent.
        epochs: Test accuracy in percent after each epoch, the last one included; three that end there if empty.
        facts: Replace fields of the data, the training or the whole record.
    """
    watched = list(epochs) or [accuracy / 2, accuracy, accuracy]
    numbers = {"train": 5000, "test": images}
    data = DataFacts(dataset, numbers, classes, 128, shape=[3, 32, 32], fingerprint="the same for all")
    optimizer = ["SGD(lr=0.1, momentum=0.9, weight_decay=0.0005)"]
    schedule = ["learning rate ×0.1 after epochs 30, 60, 90"]
    training = TrainingFacts(seed, len(watched), precision="32-true", optimizer=optimizer, schedule=schedule)
    curves = [
        {
            "epoch": number,
            "train/accuracy": 0.9,
            "train/loss": 2 / number,
            "test_each_epoch/accuracy": percent / 100,
            "test_each_epoch/loss": 3 / number,
        }
        for number, percent in enumerate(watched, 1)
    ]
    measured = {"accuracy": accuracy / 100, "loss": 1.0, "calibration_error": 0.06, "nll": 0.9, "brier": 0.4}
    refitted, calibrated = records.Refitted(0.8, 0.02, [1.2, 1.3]), records.Calibrated(0.05, 0.07)
    correct, checkpoint = round(accuracy / 100 * images), "somewhere/checkpoints/last.ckpt"

    def changed(record: Any) -> Any:
        return replace(record, **{key: facts[key] for key in record.__struct_fields__ if key in facts})

    record = Results(
        data=changed(data),
        model=ModelFacts(ModuleFacts(backbone, {}, 1), head),
        training=changed(training),
        hardware=HardwareFacts("cpu", "made up", 2),
        versions={"torch": "2.15.0"},
        commit="0123456789ab",
        fit=records.FitResult(90.0, len(watched), {}, curves, peak_memory_bytes=2**30),
        evaluations={"test": records.Evaluation(checkpoint, "test", images, correct, measured, refitted, calibrated)},
    )
    return changed(record)


def write_run(folder: Path, accuracy: float, head: ModuleFacts = SBN, seed: int = 0, **facts: Any) -> Path:
    """A finished run's folder."""
    return write_results(folder, results(accuracy, head, seed, **facts))


def write_results(folder: Path, record: Results, steps: int = 12) -> Path:
    """A run's folder with such a results.json, and the metrics.csv and test.npz that go with it."""
    write_record(folder / RESULTS, record)
    lines = ["epoch,step,gradient/logit_norm,gradient/share_confident,train/batch_loss"]
    lines += [f"1,{50 * row + 49},{1 / (row + 1)},{row / steps},1.0" for row in range(steps)]
    (folder / METRICS_TABLE).write_text("\n".join(lines) + "\n")
    write_test_arrays(folder, record)
    return folder


def write_test_arrays(folder: Path, record: Results, reach: float = 30.0) -> None:
    """test.npz: normally distributed logits, of which the first `correct` images have the true class's highest.

    Args:
        reach: The bins of Figure 2 go from -reach to reach.
    """
    data, training, test = record.data, record.training, record.test
    classes, rng = data.classes, np.random.default_rng(training.seed)
    logits = rng.standard_normal((test.images, classes), dtype=np.float32)
    labels = np.random.default_rng(0).integers(classes, size=test.images, dtype=np.int32)  # the same for all seeds
    rows = np.arange(test.images)
    logits[rows, labels] = np.where(rows < test.correct, logits.max(1) + 1, logits.min(1) - 1)
    edges = np.linspace(-reach, reach, 601)
    held = logits.clip(-reach, reach)  # the end bins hold what lies beyond
    arrays: dict[str, Any] = {
        "logits": logits.astype(np.float16),
        "labels": labels,
        "predictions": logits.argmax(1).astype(np.int32),
        "logit_edges": edges,
        "logit_counts": np.histogram(held, edges)[0],
        "true_class_logit_counts": np.histogram(held[rows, labels], edges)[0],
        "class_weight_norm": np.full(classes, 1.5, np.float32),
        "effective_class_weight_norm": np.full(classes, 0.5, np.float32),
        "class_names": np.array([f"class {number}" for number in range(classes)]),
    }
    np.savez_compressed(folder / TEST_ARRAYS, allow_pickle=False, **arrays)


def write_grid(root: Path, runs: Sequence[PlannedRun]) -> None:
    """grid.json with such runs."""
    write_record(root / GRID, Grid(runs=list(runs)))


def planned(folder: str, head: ModuleFacts, label: str, seed: int, **more: Any) -> PlannedRun:
    """A grid's entry."""
    settings = {"scale": head.settings["scale"]} if "scale" in head.settings else {}
    run = PlannedRun(folder, "MadeUp", "ResNet18", head.name, label, settings, seed, tuned_on="paper", declared=False)
    return replace(run, **more)


def written(runs: Path, name: str = "report.md") -> str:
    """A file of the report on the runs in a folder."""
    return (runs / "report" / name).read_text(encoding="utf-8")
