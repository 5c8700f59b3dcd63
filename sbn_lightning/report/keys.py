"""What tells runs apart: which table they belong to, which row, and what is the same run of a grid."""

import json
from typing import Any

from sbn_lightning.report.records import Data, Run


def table_key(run: Run) -> str:
    """The same for runs of one table: the same images in the same shape, by the grid's name for them, one backbone."""
    return key_of([dataset_of(run), data_and_backbone(run.facts)])


def dataset_of(run: Run) -> str:
    """What the grid calls the data (two sets of one's own share a class), else their class."""
    return str(run.planned.get("dataset") or run.facts["data"]["name"])


def data_and_backbone(facts: Data) -> str:
    data = facts["data"]
    what = [data.get(key) for key in ("name", "classes", "shape", "fingerprint")]
    return key_of([*what, facts["model"]["backbone"]])


def row_key(run: Run) -> str:
    """The same for runs that differ in their seed only, or in what `findings.DIFFERENT` warns of."""
    head = run.facts["model"]["head"]
    return key_of([head["name"], head["settings"], protocol(run.facts), run.planned.get("label")])


def planned_key(planned: Data) -> str:
    """The same for a grid's runs that differ in their seed only."""
    return key_of([planned.get(key) for key in ("dataset", "backbone", "head", "label", "settings")])


def key_of(parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=str)


def protocol(facts: Data) -> str:
    """How a run was trained, in one line: runs that differ in it are not averaged. Older records leave parts out."""
    training, data, backbone = facts["training"], facts["data"], facts["model"]["backbone"]
    settings = ", ".join(f"{name}={value}" for name, value in (backbone.get("settings") or {}).items())
    devices = training.get("devices", 1)
    return "; ".join(
        [
            backbone["name"] + (f"({settings})" if settings else ""),
            f"{data['images']['train']:,} training images",
            *([f"augmentation {data['augmentation']}"] if data.get("augmentation") else []),
            f"{training['epochs']} epochs",
            f"batch {data.get('batch_size', '?')}" + (f" over {devices} devices" if devices != 1 else ""),
            *training.get("optimizer", []),
            *training.get("schedule", []),
            *([f"precision {training['precision']}"] if training.get("precision") else []),
            *([f"gradients clipped at {training['gradient_clip']}"] if training.get("gradient_clip") else []),
        ]
    )
