"""The runs below a folder: the state, the record and the entry in a grid of each."""

import os
import shlex
from pathlib import Path
from typing import Any

from sbn_lightning.errors import UsageError
from sbn_lightning.report.protocol import protocol
from sbn_lightning.run import grid_records, records
from sbn_lightning.run.facts import COMPARED_BY
from sbn_lightning.run.files import CONFIG, GRID, RESULTS, RUN
from sbn_lightning.run.grid_records import PlannedRun
from sbn_lightning.run.measures import AFTER_TEST, shown_in
from sbn_lightning.run.records import BrokenRecordError, Refitted, Results, RunState, read_record

FINISHED = RunState.FINISHED.value
NOT_STARTED = RunState.NEW.value
UNREADABLE = "unreadable"
"""The state of a run whose record is damaged."""
UNKNOWN = "not recorded"
"""What settings were chosen on, where no grid says it."""
MEASURES = [measure for measure in shown_in("report") if measure.name != "accuracy"]
"""Shown beside the accuracy, which has a table of its own."""
REFITTED = [measure for measure in MEASURES if measure.name in Refitted.__struct_fields__]
"""Those that are also measured with the logits' scale refitted."""
SCORES = [measure for measure in MEASURES if measure in AFTER_TEST]
"""Those that compare the heads' probabilities."""
IF_CALIBRATED, HIGHEST_IF_CALIBRATED = "calibration_error_if_calibrated", "calibration_error_if_calibrated_highest"


class Run:
    """One run; what a record says is there only if the run has such a record."""

    def __init__(
        self, folder: Path, name: str, state: str, note: str, results: Results, planned: PlannedRun | None
    ) -> None:
        self.folder, self.name = folder, name  # the name is relative to the folder that the report is about
        self.state, self.note = state, note  # a RunState's value, or UNREADABLE, and what to know, or to do, about it
        self.results, self.planned = results, planned  # results.json, or empty results, and the entry in grid.json
        self.is_finished = state == FINISHED
        data, model, training = results.data, results.model, results.training
        self.is_described = None not in (data, model, training)
        if data and model and training:
            self.data, self.backbone, self.head, self.training = data, model.backbone, model.head, training
            self.seed = training.seed
            # Two of a user's datasets may share a class: a grid has a name of its own for each.
            self.dataset = planned.dataset if planned else data.name
            # What distinguishes its images, and its backbone, from others of the same name:
            shape = "×".join(map(str, data.shape or ())) or "unknown shape"
            self.data_facts = [data.name, f"{data.classes} classes", shape, f"data {data.fingerprint}"]
            settings = [f"{name}={value}" for name, value in model.backbone.settings.items()]
            self.backbone_facts = [*settings, f"{model.backbone.parameters} parameters"]
            self.images_and_backbone = (*self.data_facts, self.backbone.name, *sorted(self.backbone_facts))
            self.protocol = protocol(data, model.backbone, training, results.fit)
        if self.is_finished and results.fit and results.test:
            self.fit, self.test = results.fit, results.test
            self.accuracy = 100 * self.test.correct / self.test.images  # in percent, by exact counts
            accuracies = [epoch.get("test_each_epoch/accuracy") for epoch in self.fit.epochs]
            if self.fit.seen.get("test_each_epoch", self.test.images) < self.test.images:
                accuracies = []  # they are of a part of the test set
            measured = [accuracy for accuracy in accuracies if accuracy is not None]
            # Points by which the best test epoch exceeds the last one; None if the epochs were not tested.
            self.best_minus_last = 100 * (max(measured) - measured[-1]) if measured else None

    def held_out(self) -> dict[str, float | None]:
        """What the held-out images say of a training that has ended, and the test of the best epoch by them: accuracies
        in percent, and the number of that epoch."""
        fit = self.results.fit if self.results.trained else None
        best = (fit.best or {}) if fit else {}
        tested = self.results.evaluations.get("test_best") if best else None
        return {
            "held_out": in_percent(fit.last.get("val/accuracy") if fit else None),
            "best_epoch": best.get("epoch"),
            "held_out_best": in_percent(best.get("val/accuracy")),
            "test_best": in_percent(tested.correct / tested.images if tested else None),
        }

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
            **{name: model and model.head.settings.get(name) for name in COMPARED_BY},
            "seed": training.seed if training else planned and planned.seed,
            "epochs": training and training.epochs,
            "epochs_done": results.fit and results.fit.epochs_done,
            "precision": training and training.precision,
            "augmentation": data and data.augmentation,
            "accuracy": test and self.accuracy,
            **{measure.name: test and test.metrics.get(measure.name) for measure in MEASURES},
            **{f"{one.name}_refitted": test and getattr(test.refitted, one.name, None) for one in REFITTED},
            IF_CALIBRATED: test and test.calibrated and test.calibrated.calibration_error,
            HIGHEST_IF_CALIBRATED: test and test.calibrated and test.calibrated.highest,
            **self.held_out(),
            "best_minus_last": fit and self.best_minus_last,
            "seconds": fit and fit.seconds,
            "peak_memory_bytes": fit and fit.peak_memory_bytes,
            "hardware": hardware and hardware.name,
            "torch": results.versions.get("torch"),
            "commit": results.commit,
            "note": " ".join(self.note.split()),
        }


def in_percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


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
        if GRID in files and (grid := read_record(folder / GRID, grid_records.Grid)):
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
        if results.training and None in (results.data, results.model):
            raise BrokenRecordError(f"{folder / RESULTS} does not say what the run trained")
        if results.finished and results.test and results.test.metrics.get("loss", 0.0) is None:
            raise BrokenRecordError(f"{folder / RESULTS} holds a test loss that is not a finite number")
    except BrokenRecordError as error:
        return Run(folder, name, UNREADABLE, str(error), Results(), planned)
    notes = {
        RunState.RUNNING: "a process trains or tests in its folder",
        RunState.STARTED: f"do: sbn fit --config {shlex.quote(str(folder))} --ckpt_path last",
        RunState.FAILED: (attempts and attempts.error) or "",
        RunState.TRAINED: to_be_tested(folder, results),
    }
    return Run(folder, name, state.value, notes.get(state, ""), results, planned)


def to_be_tested(folder: Path, results: Results) -> str:
    """Say how to test a run. A test that saw a part of the images does not count; the run's own config may limit it."""
    command = f"do: sbn test --config {shlex.quote(str(folder))}"
    if (test := results.partial_test) is None or results.data is None:
        return command
    there = results.data.images["test"]
    return f"its test, of {test.images:,} of {there:,} images, is left out; {command} --trainer.limit_test_batches 1.0"
