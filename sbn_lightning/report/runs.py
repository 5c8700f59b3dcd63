"""The runs below a folder: the state, the record and the entry in a grid of each."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sbn_lightning.errors import UsageError
from sbn_lightning.run import records
from sbn_lightning.run.files import CONFIG, GRID, RESULTS, RUN
from sbn_lightning.run.measures import shown_in
from sbn_lightning.run.records import BrokenRecordError, PlannedRun, Refitted, Results, RunState, read_record

FINISHED = RunState.FINISHED.value
NOT_STARTED = RunState.NEW.value
UNREADABLE = "unreadable"
"""The state of a run whose record is damaged."""
MEASURES = [measure for measure in shown_in("report") if measure.name != "accuracy"]
"""Shown beside the accuracy, which has a table of its own."""
REFITTED = [measure for measure in MEASURES if measure.name in Refitted.__struct_fields__]
"""Those that are also measured with the logits' scale refitted."""
ALWAYS_SHOWN = ("scale", "margin")
"""Settings of a head that are shown even where all rows of the head agree on them; others only where they differ."""

T = TypeVar("T")


def known(value: T | None) -> T:
    """What a record is certain to have."""
    assert value is not None
    return value


@dataclass(frozen=True)
class Run:
    """One run. `fit`, `test` and the accuracies are those of a finished one."""

    folder: Path
    name: str  # its folder, relative to the one that the report is about
    state: str  # a RunState's value, or UNREADABLE
    note: str = ""  # what to know, or to do, about a run that is not finished
    results: Results = field(default_factory=Results)  # empty if there are none, or if they are unreadable
    planned: PlannedRun | None = None  # its entry in grid.json

    @property
    def is_finished(self) -> bool:
        return self.state == FINISHED

    @property
    def is_described(self) -> bool:
        """Whether the record says what the run trains; all that follows needs it."""
        return self.results.training is not None

    @property
    def fit(self) -> records.FitResult:
        return known(self.results.fit)

    @property
    def test(self) -> records.Evaluation:
        return known(self.results.test)

    @property
    def data(self) -> records.DataFacts:
        return known(self.results.data)

    @property
    def backbone(self) -> records.ModuleFacts:
        return known(self.results.model).backbone

    @property
    def head(self) -> records.ModuleFacts:
        return known(self.results.model).head

    @property
    def training(self) -> records.TrainingFacts:
        return known(self.results.training)

    @property
    def seed(self) -> int:
        return self.training.seed

    @property
    def dataset(self) -> str:
        """What the grid calls the data (two of a user's datasets may share a class), else their class."""
        return self.planned.dataset if self.planned else self.data.name

    @property
    def protocol(self) -> str:
        """How it was trained, in one line: runs that differ in it are not averaged."""
        training, data = self.training, self.data
        settings = ", ".join(f"{name}={value}" for name, value in self.backbone.settings.items())
        parts = [
            self.backbone.name + (f"({settings})" if settings else ""),
            f"{data.images.get('train', 0):,} training images",
            data.augmentation and f"augmentation {data.augmentation}",
            f"{training.epochs} epochs",
            f"batch {data.batch_size}" + (f" over {training.devices} devices" if training.devices != 1 else ""),
            *training.optimizer,
            *training.schedule,
            training.precision and f"precision {training.precision}",
            training.gradient_clip and f"gradients clipped at {training.gradient_clip}",
        ]
        return "; ".join(part for part in parts if part)

    @property
    def accuracy(self) -> float:
        """Accuracy of the last epoch on the whole test set, in percent, by exact counts."""
        return 100 * self.test.correct / self.test.images

    @property
    def best_minus_last(self) -> float | None:
        """Points by which the best test epoch exceeds the last one; None if the epochs were not tested."""
        accuracies = [epoch.get("test_each_epoch/accuracy") for epoch in self.fit.epochs]
        measured = [accuracy for accuracy in accuracies if accuracy is not None]
        return 100 * (max(measured) - measured[-1]) if measured else None

    def line(self) -> dict[str, Any]:
        """Its line in runs.csv, whatever its state: what its record has, else what its grid planned."""
        results, planned = self.results, self.planned
        data, model, training, hardware = results.data, results.model, results.training, results.hardware
        fit, test = (self.fit, self.test) if self.is_finished else (None, None)
        return {
            "run": self.name,
            "state": self.state,
            "dataset": planned.dataset if planned else data and data.name,
            "backbone": model.backbone.name if model else planned and planned.backbone,
            "head": model.head.name if model else planned and planned.head,
            **{name: model and model.head.settings.get(name) for name in ALWAYS_SHOWN},
            "seed": training.seed if training else planned and planned.seed,
            "epochs": training and training.epochs,
            "precision": training and training.precision,
            "augmentation": data and data.augmentation,
            "accuracy": test and self.accuracy,
            **{measure.name: test and test.metrics.get(measure.name) for measure in MEASURES},
            **{f"{one.name}_refitted": test and getattr(test.refitted, one.name, None) for one in REFITTED},
            "best_minus_last": fit and self.best_minus_last,
            "seconds": fit and fit.seconds,
            "peak_memory_bytes": fit and fit.peak_memory_bytes,
            "hardware": hardware and hardware.name,
            "torch": results.versions.get("torch"),
            "commit": results.commit,
            "note": " ".join(self.note.split()),
        }


def read_runs(root: Path, skip: Path | None = None) -> list[Run]:
    """Return every run below a folder (which may be one itself), and those that a grid.json there still plans.

    The runs of a grid come first, in its order.

    Args:
        skip: A folder that is not searched: the report's own.

    Raises:
        UsageError: If there is no such folder, or its grid.json is invalid: it says what was declared.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give `sbn report` a folder that contains runs")
    folders: list[Path] = []
    planned: dict[Path, PlannedRun] = {}
    for path, children, files in os.walk(root):
        folder = Path(path)
        children[:] = sorted(child for child in children if skip is None or (folder / child).resolve() != skip)
        if GRID in files and (grid := read_record(folder / GRID, records.Grid)):
            planned |= {folder / run.folder: run for run in grid.runs}
        if not {RESULTS, RUN, CONFIG}.isdisjoint(files):
            folders.append(folder)
            children.clear()
    runs = []
    for folder in dict.fromkeys([*planned, *folders]):
        name = str(folder.relative_to(root)) if folder != root else root.resolve().name
        runs.append(read_run(folder, name, planned.get(folder)))
    return runs


def read_run(folder: Path, name: str, planned: PlannedRun | None = None) -> Run:
    """Return the run in a folder. Missing or damaged records are noted, and never stop the report."""
    try:
        state, results = records.run_state(folder), records.read_results(folder)
        attempts = read_record(folder / RUN, records.Attempts)
        if problem := what_is_missing(results):
            raise BrokenRecordError(f"{folder / RESULTS} {problem}")
    except BrokenRecordError as error:
        return Run(folder, name, UNREADABLE, str(error), planned=planned)
    notes = {
        RunState.RUNNING: "a process trains or tests in its folder",
        RunState.STARTED: f"do: sbn fit --config {folder} --ckpt_path last",
        RunState.FAILED: (attempts and attempts.error) or "",
        RunState.TRAINED: f"do: sbn test --config {folder}",
    }
    return Run(folder, name, state.value, notes.get(state, ""), results, planned)


def what_is_missing(results: Results) -> str:
    """What a record lacks that a report needs; empty if nothing."""
    if results.training is not None and None in (results.data, results.model):
        return "does not say what the run trained"
    if results.finished and results.test is not None and results.test.metrics.get("loss", 0.0) is None:
        return "holds a test loss that is not a finite number"
    return ""
