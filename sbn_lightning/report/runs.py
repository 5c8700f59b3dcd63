"""The runs below a folder: the state, the record and the entry in a grid of each."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sbn_lightning.run import records
from sbn_lightning.run.files import CONFIG, GRID, RESULTS, RUN
from sbn_lightning.run.records import BrokenRecordError, PlannedRun, Results, RunState, read_record

FINISHED = RunState.FINISHED.value
NOT_STARTED = RunState.NEW.value
UNREADABLE = "unreadable"
"""The state of a run whose record is damaged."""

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
        return None not in (self.results.data, self.results.model, self.results.training)

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
            f"{data.images['train']:,} training images",
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


def read_runs(root: Path, skip: Path | None = None) -> list[Run]:
    """Return every run below a folder (which may be one itself), and those that a grid.json there still plans.

    The runs of a grid come first, in its order. An invalid grid.json is a BrokenRecordError: without it the report
    would not know what was declared.

    Args:
        skip: A folder that is not searched: the report's own.
    """
    folders: list[Path] = []
    planned: dict[Path, PlannedRun] = {}
    for path, children, files in os.walk(root):
        folder = Path(path)
        children[:] = sorted(child for child in children if skip is None or (folder / child).resolve() != skip)
        if GRID in files and (grid := read_record(folder / GRID, records.Grid)):
            planned |= {folder / run.folder: run for run in grid.runs}
        if any(name in files for name in (RESULTS, RUN, CONFIG)):
            folders.append(folder)
            children.clear()
    names = {
        folder: os.path.relpath(folder, root) if folder != root else root.resolve().name
        for folder in [*planned, *folders]
    }
    return [read_run(folder, name, planned.get(folder)) for folder, name in names.items()]


def read_run(folder: Path, name: str, planned: PlannedRun | None = None) -> Run:
    """Return the run in a folder. Missing or damaged records are noted, and never stop the report."""
    try:
        state, results = records.run_state(folder), records.read_results(folder)
        attempts = read_record(folder / RUN, records.Attempts)
    except BrokenRecordError as error:
        return Run(folder, name, UNREADABLE, str(error), planned=planned)
    if problem := what_is_missing(results):
        return Run(folder, name, UNREADABLE, f"{folder / RESULTS} {problem}", planned=planned)
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
    if results.data is not None and "train" not in results.data.images:
        return "does not say how many training images there are"
    if results.finished and results.test is not None and results.test.metrics.get("loss", 0.0) is None:
        return "holds a test loss that is not a finite number"
    return ""
