"""What one run's folder holds. Whatever is missing or broken is said, and never stops the reading."""

import csv
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sbn_lightning.errors import UsageError

Data = Mapping[str, Any]

FINISHED = "finished"


class UnreadableRecordError(ValueError):
    """A file of a run that cannot be read; its text says which and why."""


@dataclass(frozen=True)
class Outcome:
    """What a finished run measured; None where its record (an older one) does not say.

    Args:
        accuracy: Of the last epoch on the whole test set, in percent, by exact counts.
        flattered: Points by which the best test epoch exceeds the last; None without an evaluation after each epoch.
        refitted_ece, refitted_nll: With the logits times one scale, fitted on one half of the test set and measured on
            the other, both ways; None where no finite scale fits best.
    """

    accuracy: float
    ece: float | None
    nll: float | None
    refitted_ece: float | None
    refitted_nll: float | None
    flattered: float | None
    seconds: float | None
    peak_memory_bytes: int | None
    epochs: list[dict[str, float]]


@dataclass(frozen=True)
class Run:
    """One run.

    Args:
        name: Its folder, relative to the one that the report is about.
        state: "finished", or what it is instead.
        note: What to know, or to do, about a run that is not finished.
        facts: results.json without its outcomes; empty if there is none.
        outcome: None unless it is finished.
        planned: Its entry in grid.json; empty for a run outside of a grid.
    """

    folder: Path
    name: str
    state: str
    note: str = ""
    facts: Data = field(default_factory=dict)
    outcome: Outcome | None = None
    planned: Data = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return int(self.facts["training"]["seed"])

    @property
    def started(self) -> bool:
        return self.state != "not started"

    def curves(self, *tags: str) -> dict[str, list[tuple[float, float]]]:
        """(step, value) of each tag that metrics.csv holds."""
        file = self.folder / "metrics.csv"
        curves: dict[str, list[tuple[float, float]]] = {tag: [] for tag in tags}
        if not file.is_file():
            return {}
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                rows = csv.reader(stream)
                header = next(rows, [])
                columns = [(tag, header.index(tag)) for tag in tags if tag in header]
                step = header.index("step")
                for row in rows:
                    for tag, column in columns:
                        if len(row) > column and row[column]:
                            curves[tag].append((float(row[step]), float(row[column])))
        except (ValueError, csv.Error) as error:
            raise UnreadableRecordError(f"{file} cannot be read: {error}") from error
        return {tag: points for tag, points in curves.items() if points}

    def stored(self, *members: str, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Arrays of test.npz, of which only these are read; empty for a run without that file.

        Args:
            optional: Arrays that older records lack.
        """
        file = self.folder / "test.npz"
        if not file.is_file():
            return {}
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                there = [name for name in optional if name in archive.files]
                return {name: archive[name] for name in [*members, *there]}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UnreadableRecordError(f"{file} cannot be read: {error}") from error


def read_run(folder: Path, name: str, planned: Data) -> Run:
    """What a folder holds of a run."""
    try:
        runner = read_json(folder / "run.json")
        results = read_json(folder / "results.json")
        facts = {key: results[key] for key in ("data", "model", "training") if results} | {
            key: results.get(key) for key in ("hardware", "versions", "commit") if results
        }
        if facts:
            check(facts)
        state, note = state_of(results, runner, folder)
        outcome = read_outcome(results) if state == FINISHED else None
    except UnreadableRecordError as error:
        return Run(folder, name, "unreadable", str(error), planned=planned)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        note = f"{folder / 'results.json'} is not a run's record: {type(error).__name__} {error}"
        return Run(folder, name, "unreadable", note, planned=planned)
    return Run(folder, name, state, note, facts, outcome, planned)


def state_of(results: Data, runner: Data, folder: Path) -> tuple[str, str]:
    """A run's state, and a note on it."""
    fit, test = results.get("fit"), results.get("test")
    if fit and fit["last_epoch"] == results["training"]["epochs"] and test:
        tested = Path(str(test["checkpoint"])).name
        if tested == "last.ckpt":
            return FINISHED, ""
        return "tested elsewhere", f"tested {tested}, not last.ckpt; do: sbn test --config {folder}"
    if runner.get("state") == "failed":
        return "failed", str(runner.get("error") or "no error was recorded")
    if runner.get("state") == "running":
        return "running", "running, or its runner was killed"
    if fit and fit["last_epoch"] == results["training"]["epochs"]:
        return "not tested", f"do: sbn test --config {folder}"
    if results or (folder / "config.yaml").is_file():
        return "unfinished", f"do: sbn fit --config {folder} --ckpt_path last"
    return "not started", ""


def read_outcome(results: Data) -> Outcome:
    """The measurements of a finished run."""
    fit, test = results["fit"], results["test"]
    accuracy = 100 * test["correct"] / test["images"]
    epochs = [dict(epoch) for epoch in fit.get("epochs") or []]
    watched = [epoch["test_each_epoch/accuracy"] for epoch in epochs if "test_each_epoch/accuracy" in epoch]
    if not math.isfinite(test.get("test/loss", 0.0)):
        raise UsageError(f"test/loss is {test['test/loss']}")
    refitted = test.get("refitted") or {}
    return Outcome(
        accuracy=accuracy,
        ece=test.get("test/calibration_error"),
        nll=test.get("test/nll"),
        refitted_ece=refitted.get("calibration_error"),
        refitted_nll=refitted.get("nll"),
        flattered=100 * (max(watched) - watched[-1]) if watched else None,
        seconds=fit.get("seconds"),
        peak_memory_bytes=fit.get("peak_memory_bytes"),
        epochs=epochs,
    )


def check(facts: Data) -> None:
    """Touch what grouping needs, so that what is missing is found while reading."""
    for module in (facts["model"]["backbone"], facts["model"]["head"]):
        json.dumps([module["name"], list(module["settings"].items())])
    int(facts["training"]["seed"])
    _ = facts["data"]["name"], facts["data"]["classes"], facts["training"]["epochs"]
    int(facts["data"]["images"]["train"])


def read_json(file: Path) -> Data:
    """A JSON object; an empty one if there is no such file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UnreadableRecordError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableRecordError(f"{file} cannot be read: it holds no JSON object")
    return content
