"""The report's numbers for other programs: report.csv, a line for each row, and runs.csv, a line for each run."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sbn_lightning.report.grouping import ALWAYS_SHOWN
from sbn_lightning.report.rows import MEASURES, REFITTED, Group, Row
from sbn_lightning.report.runs import Run
from sbn_lightning.report.statistics import Difference


def write_csv_files(out: Path, groups: Sequence[Group], runs: Sequence[Run]) -> None:
    """Write report.csv and runs.csv: accuracies in percent, differences in points, memory in bytes."""
    write(out / "report.csv", [line_of_row(group, row) for group in groups for row in group.rows])
    write(out / "runs.csv", [line_of_run(run) for run in runs])


def line_of_row(group: Group, row: Row) -> dict[str, Any]:
    accuracy, published, from_softmax = row.accuracy, row.published, row.from_softmax
    return {
        "dataset": group.dataset,
        "backbone": group.backbone,
        "head": row.head,
        "label": row.label,
        **{name: row.settings.get(name) for name in ALWAYS_SHOWN},
        "tuned_on": row.tuned_on,
        "declared": row.declared,
        "runs_finished": len(row.finished),
        "runs_started": row.started,
        "runs_planned": len(row.runs),
        "accuracy_mean": accuracy and accuracy.mean,
        "accuracy_std": accuracy and accuracy.std,
        "paper_mean": published and published.mean,
        "paper_std": published and published.std,
        "paper_runs": published and published.n,
        **difference_columns("from_paper", row.from_paper),
        **difference_columns("from_softmax", from_softmax),
        "unlike_softmax_in": ", ".join(row.unlike_softmax),
        "from_softmax_method": from_softmax and from_softmax.method,
        "not_compared": row.not_compared,
        "detectable": from_softmax and from_softmax.detectable,
        "runs_for_one_point": from_softmax and from_softmax.runs_for_one_point,
        **{measure.name: row.measured(measure) for measure in MEASURES},
        **{f"{measure.name}_refitted": row.refitted(measure) for measure in REFITTED},
        "best_minus_last": row.best_minus_last,
        "minutes": row.minutes,
        "peak_memory_bytes": row.peak_memory_bytes,
        "commits": " ".join(row.commits),
        "trained_with": row.protocol,
    }


def difference_columns(name: str, difference: Difference | None) -> dict[str, float | None]:
    """A difference and the ends of its 95 % interval."""
    lower, upper = (difference and difference.interval()) or (None, None)
    return {name: difference.value if difference else None, f"{name}_lower": lower, f"{name}_upper": upper}


def line_of_run(run: Run) -> dict[str, Any]:
    """Of any run, whatever its state: what its record has, else what its grid planned."""
    data, model, training, hardware = run.results.data, run.results.model, run.results.training, run.results.hardware
    planned, fit, test = run.planned, run.is_finished and run.fit, run.is_finished and run.test
    return {
        "run": run.name,
        "state": run.state,
        "dataset": planned.dataset if planned else data and data.name,
        "backbone": model.backbone.name if model else planned and planned.backbone,
        "head": model.head.name if model else planned and planned.head,
        **{name: model and model.head.settings.get(name) for name in ALWAYS_SHOWN},
        "seed": training.seed if training else planned and planned.seed,
        "epochs": training and training.epochs,
        "precision": training and training.precision,
        "augmentation": data and data.augmentation,
        "accuracy": run.accuracy if test else None,
        **{measure.name: test.metrics.get(measure.name) if test else None for measure in MEASURES},
        **{f"{one.name}_refitted": getattr(test.refitted, one.name, None) if test else None for one in REFITTED},
        "best_minus_last": run.best_minus_last if fit else None,
        "seconds": fit.seconds if fit else None,
        "peak_memory_bytes": fit.peak_memory_bytes if fit else None,
        "hardware": hardware and hardware.name,
        "torch": run.results.versions.get("torch"),
        "commit": run.results.commit,
        "note": " ".join(run.note.split()),
    }


def write(file: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write a header and the lines, with an empty cell where there is no value."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(lines[0]) if lines else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
