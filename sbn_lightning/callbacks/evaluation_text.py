"""What `sbn test`, `validate` and `predict` gave, as rows of text for people; see `sbn_lightning.terminal`."""

from pathlib import Path

from sbn_lightning.callbacks.summary_text import next_rows, quoted
from sbn_lightning.errors import UsageError
from sbn_lightning.run.facts import ModuleFacts
from sbn_lightning.run.files import RESULTS
from sbn_lightning.run.interval import interval_text
from sbn_lightning.run.records import Evaluation, Results, read_results
from sbn_lightning.terminal import EMPTY, Row, unbroken


def evaluation_rows(result: Evaluation, name: str, run_dir: Path | None) -> list[Row]:
    """Say what an evaluation gave, and under which name the run's record keeps it, if it is written at all."""
    texts = {name: unbroken(f"{result.stage}/{name} {value:.4f}") for name, value in result.metrics.items()}
    seen = f"images seen, of {result.available:,}" if result.is_partial else "images"
    counts = f"{result.correct:,} of {result.images:,} {seen}; {interval_text(result.correct, result.images)}"
    rows = [
        EMPTY,
        ("Checkpoint", result.checkpoint),
        ("Result", f"{texts.pop('accuracy')} ({counts})"),
        ("", ", ".join(texts.values())),
    ]
    if run_dir is None:
        return [*rows, ("Written", "nothing (fast_dev_run)")]
    arrays = f", {name}.npz" if result.stage == "test" else ""
    kept = "; what an evaluation of all images gave is kept" if result.is_partial else ""
    return [
        *rows,
        ("Written", f"{run_dir}/: {RESULTS} (as {name}){arrays}{kept}"),
        *next_rows(*commands(name, run_dir)),
    ]


def commands(name: str, run_dir: Path) -> list[str]:
    """Return what may be done after an evaluation that is kept under a name."""
    run = quoted(run_dir)
    if name == "test":
        compared = [f"sbn report --compare {quoted(other)} {run}" for other in comparable(run_dir)]
        return [*(compared or [f"sbn report {quoted(run_dir.parent)}"]), f"sbn predict --config {run}"]
    return [f"sbn test --config {run}"] if name.startswith("validate") else []


def comparable(run_dir: Path) -> list[Path]:
    """Return the run beside a run that was tested last, of those with another head on the same data; or none."""
    (data, head), found = data_and_head(read_results(run_dir)), []
    for file in run_dir.parent.glob(f"*/{RESULTS}"):
        try:
            results = read_results(file.parent)
        except UsageError:  # a damaged record
            continue
        other_data, other_head = data_and_head(results)
        if "test" in results.evaluations and data and other_data == data and other_head != head:
            found.append(file)
    newest = max(found, key=lambda file: file.stat().st_mtime, default=None)
    return [newest.parent] if newest else []


def data_and_head(results: Results) -> tuple[str | None, ModuleFacts | None]:
    """Return what tells the data of a run from others, and its head, as far as they are recorded."""
    data, model = results.data, results.model
    return data.fingerprint if data else None, model.head if model else None


def prediction_rows(file: Path, seen: int, available: int) -> list[Row]:
    """Say where the predictions are, and of how many images if these are not all."""
    return [("Written", str(file) + (f" ({seen:,} of {available:,} images)" if seen < available else ""))]
