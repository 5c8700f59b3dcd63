"""The report's numbers for other programs: report.csv, a row per head, and runs.csv, a row per run."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sbn_lightning.report.findings import Finding
from sbn_lightning.report.keys import dataset_of
from sbn_lightning.report.records import Run
from sbn_lightning.report.statistics import Difference


def write_findings(file: Path, findings: Iterable[Finding]) -> None:
    """Accuracies in percent, differences in points, memory in bytes."""
    write(file, [finding_row(finding) for finding in findings])


def finding_row(finding: Finding) -> dict[str, Any]:
    row, accuracy, published = finding.row, finding.accuracy, finding.row.published
    return {
        "dataset": finding.group.dataset,
        "backbone": finding.group.backbone,
        "head": row.head,
        "label": row.label,
        "scale": row.settings.get("scale"),
        "margin": row.settings.get("margin"),
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
        "ece": finding.ece,
        "ece_refitted": finding.refitted_ece,
        "nll": finding.nll,
        "nll_refitted": finding.refitted_nll,
        "best_minus_last": finding.flattered,
        "minutes": finding.minutes,
        "peak_memory_bytes": finding.peak_memory_bytes,
        "commits": " ".join(finding.commits),
        "trained_with": row.protocol,
    }


def difference_columns(name: str, difference: Difference | None) -> dict[str, float | None]:
    """A difference and the ends of its 95 % interval."""
    lower, upper = (difference.interval() if difference else None) or (None, None)
    return {name: difference.value if difference else None, f"{name}_lower": lower, f"{name}_upper": upper}


def write_runs(file: Path, runs: Iterable[Run]) -> None:
    """All runs, whatever their state."""
    write(file, [run_row(run) for run in runs])


def run_row(run: Run) -> dict[str, Any]:
    model, training = run.facts.get("model", {}), run.facts.get("training", {})
    head, outcome = model.get("head", {}), run.outcome
    return {
        "run": run.name,
        "state": run.state,
        "dataset": dataset_of(run) if run.facts else run.planned.get("dataset"),
        "backbone": model.get("backbone", {}).get("name") or run.planned.get("backbone"),
        "head": head.get("name") or run.planned.get("head"),
        "scale": head.get("settings", {}).get("scale"),
        "margin": head.get("settings", {}).get("margin"),
        "seed": training.get("seed", run.planned.get("seed")),
        "epochs": training.get("epochs"),
        "precision": training.get("precision"),
        "augmentation": run.facts.get("data", {}).get("augmentation"),
        "accuracy": outcome and outcome.accuracy,
        "ece": outcome and outcome.ece,
        "ece_refitted": outcome and outcome.refitted_ece,
        "nll": outcome and outcome.nll,
        "nll_refitted": outcome and outcome.refitted_nll,
        "best_minus_last": outcome and outcome.flattered,
        "seconds": outcome and outcome.seconds,
        "peak_memory_bytes": outcome and outcome.peak_memory_bytes,
        "hardware": (run.facts.get("hardware") or {}).get("name"),
        "torch": (run.facts.get("versions") or {}).get("torch"),
        "commit": run.facts.get("commit"),
        "note": " ".join(run.note.split()),
    }


def write(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A header and a line per row; blank where there is nothing."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
