"""Run folders that no training made, with outcomes that a test chooses. Their numbers mean nothing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SBN = {"name": "ScaledBatchNormHead", "settings": {"scale": 0.9, "eps": 1e-05, "momentum": 0.1}}
SOFTMAX = {"name": "SoftmaxHead", "settings": {}}
AM_SOFTMAX = {"name": "AMSoftmaxHead", "settings": {"scale": 7.5, "margin": 0.35}}


def sbn(scale: float) -> dict[str, Any]:
    """Scaled batch normalization with another scale."""
    return {"name": "ScaledBatchNormHead", "settings": SBN["settings"] | {"scale": scale}}  # type: ignore[operator]


def results(
    accuracy: float,
    head: Mapping[str, Any] = SBN,
    seed: int = 0,
    *,
    dataset: str = "MadeUp",
    backbone: str = "ResNet18",
    classes: int = 10,
    images: int = 1000,
    epochs: Sequence[float] = (),
    **facts: Any,
) -> dict[str, Any]:
    """results.json of a finished run.

    Args:
        accuracy: Of the last checkpoint on the test set, in percent.
        epochs: Test accuracy in percent after each epoch, the last one included; three that end there if empty.
        facts: Replace entries of `training`, or `commit`, `versions`, `hardware`, `fingerprint`, `shape`; or add
            `augmentation`.
    """
    watched = list(epochs) or [accuracy / 2, accuracy, accuracy]
    training = {
        "seed": seed,
        "epochs": len(watched),
        "devices": 1,
        "precision": "32-true",
        "optimizer": ["SGD(lr=0.1, momentum=0.9, weight_decay=0.0005)"],
        "schedule": ["learning rate ×0.1 after epochs 30, 60, 90"],
    }
    return {
        "data": {
            "name": dataset,
            "images": {"train": 5000, "test": images},
            "shape": facts.get("shape", [3, 32, 32]),
            "classes": classes,
            "batch_size": 128,
            "fingerprint": facts.get("fingerprint", "the same for all"),
        }
        | {key: facts[key] for key in ("augmentation",) if key in facts},
        "model": {"backbone": {"name": backbone, "settings": {}, "parameters": 1}, "head": dict(head)},
        "training": training | {key: facts[key] for key in training if key in facts},
        "hardware": facts.get("hardware", {"device": "cpu", "name": "made up", "cpu_cores": 2}),
        "versions": facts.get("versions", {"torch": "2.15.0"}),
        "commit": facts.get("commit", "0123456789ab"),
        "fit": {
            "seconds": 90.0,
            "peak_memory_bytes": 2**30,
            "last_epoch": len(watched),
            "last": {},
            "epochs": [
                {
                    "epoch": number,
                    "train/accuracy": 0.9,
                    "train/loss": 2 / number,
                    "test_each_epoch/accuracy": percent / 100,
                    "test_each_epoch/loss": 3 / number,
                }
                for number, percent in enumerate(watched, 1)
            ],
        },
        "test": {
            "checkpoint": "somewhere/checkpoints/last.ckpt",
            "images": images,
            "correct": round(accuracy / 100 * images),
            "test/accuracy": accuracy / 100,
            "test/loss": 1.0,
            "test/calibration_error": 0.06,
            "test/nll": 0.9,
            "refitted": {"nll": 0.8, "calibration_error": 0.02, "scales": [1.2, 1.3]},
        },
    }


def write_run(folder: Path, accuracy: float, head: Mapping[str, Any] = SBN, seed: int = 0, **facts: Any) -> Path:
    """A finished run's folder."""
    return write_record(folder, results(accuracy, head, seed, **facts))


def write_record(folder: Path, record: Mapping[str, Any], steps: int = 12) -> Path:
    """A run's folder with such a results.json, and the metrics.csv and test.npz that go with it."""
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(record))
    lines = ["epoch,step,gradient/logit_norm,gradient/share_confident,train/batch_loss"]
    lines += [f"1,{50 * row + 49},{1 / (row + 1)},{row / steps},1.0" for row in range(steps)]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    write_test_arrays(folder, record)
    return folder


def write_test_arrays(folder: Path, record: Mapping[str, Any], reach: float = 30.0) -> None:
    """test.npz: normally distributed logits, of which the first `correct` images have the true class's highest.

    Args:
        reach: The bins of Figure 2 go from -reach to reach.
    """
    classes, images = record["data"]["classes"], record["test"]["images"]
    rng = np.random.default_rng(record["training"]["seed"])
    logits = rng.standard_normal((images, classes), dtype=np.float32)
    labels = rng.integers(classes, size=images, dtype=np.int32)
    rows = np.arange(images)
    logits[rows, labels] = np.where(rows < record["test"]["correct"], logits.max(1) + 1, logits.min(1) - 1)
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
    np.savez_compressed(folder / "test.npz", allow_pickle=False, **arrays)


def write_grid(root: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """grid.json with such runs."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "grid.json").write_text(json.dumps({"runs": list(entries)}))


def planned(folder: str, head: Mapping[str, Any], label: str, seed: int, **more: Any) -> dict[str, Any]:
    """A grid's entry."""
    return {
        "folder": folder,
        "dataset": "MadeUp",
        "backbone": "ResNet18",
        "head": head["name"],
        "label": label,
        "settings": {"scale": head["settings"]["scale"]} if "scale" in head["settings"] else {},
        "seed": seed,
        "tuned_on": "paper",
        "declared": False,
        "paper": None,
    } | more


def written(runs: Path, name: str = "report.md") -> str:
    """A file of the report on the runs in a folder."""
    return (runs / "report" / name).read_text(encoding="utf-8")
