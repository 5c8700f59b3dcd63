"""The report's numbers for other programs: report.csv, a line for each row, and runs.csv, a line for each run."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sbn_lightning.report.findings import MEASURES, REFITTED, Finding
from sbn_lightning.report.rows import ALWAYS_SHOWN
from sbn_lightning.report.runs import Run
from sbn_lightning.report.statistics import Difference


def write_findings(file: Path, findings: Sequence[Finding]) -> None:
    """Write report.csv: accuracies in percent, differences in points, memory in bytes."""
    write(file, [line_of_finding(finding) for finding in findings])


def line_of_finding(finding: Finding) -> dict[str, Any]:
    row, accuracy, published = finding.row, finding.accuracy, finding.row.published
    return {
        "dataset": finding.group.dataset,
        "backbone": finding.group.backbone,
        "head": row.head,
        "label": row.label,
        **{name: row.settings.get(name) for name in ALWAYS_SHOWN},
        "tuned_on": row.tuned_on,
        "declared": row.declared,
        "runs_finished": len(row.finished),
        "runs_started": finding.started,
        "runs_planned": len(row.runs),
        "accuracy_mean": accuracy and accuracy.mean,
        "accuracy_std": accuracy and accuracy.std,
        "paper_mean": published and published.mean,
        "paper_std": published and published.std,
        "paper_runs": published and published.n,
        **difference_columns("from_paper", finding.from_paper),
        **difference_columns("from_softmax", finding.from_softmax),
        "unlike_softmax_in": ", ".join(finding.unlike_softmax),
        "from_softmax_method": finding.from_softmax and finding.from_softmax.method,
        "not_compared": finding.not_compared,
        "detectable": finding.from_softmax and finding.from_softmax.detectable,
        "runs_for_one_point": finding.from_softmax and finding.from_softmax.runs_for_one_point,
        **{measure.name: finding.measured(measure) for measure in MEASURES},
        **{f"{measure.name}_refitted": finding.refitted(measure) for measure in REFITTED},
        "best_minus_last": finding.best_minus_last,
        "minutes": finding.minutes,
        "peak_memory_bytes": finding.peak_memory_bytes,
        "commits": " ".join(finding.commits),
        "trained_with": row.protocol,
    }


def difference_columns(name: str, difference: Difference | None) -> dict[str, float | None]:
    """A difference and the ends of its 95 % interval."""
    lower, upper = (difference.interval() if difference else None) or (None, None)
    return {name: difference.value if difference else None, f"{name}_lower": lower, f"{name}_upper": upper}


def write_runs(file: Path, runs: Sequence[Run]) -> None:
    """Write runs.csv: all runs, whatever their state."""
    write(file, [line_of_run(run) for run in runs])


def line_of_run(run: Run) -> dict[str, Any]:
    data, model, training = run.results.data, run.results.model, run.results.training
    finished, planned, hardware = run.is_finished, run.planned, run.results.hardware
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
        "accuracy": run.accuracy if finished else None,
        **{measure.name: run.measured(measure) if finished else None for measure in MEASURES},
        **{f"{measure.name}_refitted": run.refitted(measure) if finished else None for measure in REFITTED},
        "best_minus_last": run.best_minus_last if finished else None,
        "seconds": run.fit.seconds if finished else None,
        "peak_memory_bytes": run.fit.peak_memory_bytes if finished else None,
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
