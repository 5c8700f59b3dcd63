"""The notes of a report's tables: which intervals there are, and what they mean together."""

from pathlib import Path

from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, write_run, written
from msgspec.structs import replace

from sbn_lightning.report.command import report
from sbn_lightning.run.records import ModuleFacts, read_results, write_record


def test_an_interval_that_only_other_images_bring_to_0_is_said(tmp_path: Path) -> None:
    for seed in range(5):  # the same two or three of 1,000 images decide
        write_run(tmp_path / "runs" / f"softmax{seed}", 70, SOFTMAX, seed)
        write_run(tmp_path / "runs" / f"sbn{seed}", 70.2 + 0.1 * (seed % 2), SBN, seed)
    report(tmp_path / "runs")
    text = written(tmp_path / "runs")
    assert (
        "better than softmax by 0.24 points (95 % interval +0.17 to +0.31), no more than the 0.5 points that matter "
        "here; on other test images, the two may not differ.\n"
    ) in text


def test_single_runs_are_not_said_to_have_intervals(tmp_path: Path) -> None:
    for accuracy, head in ((70, SOFTMAX), (71, SBN), (72, AM_SOFTMAX)):
        write_run(tmp_path / "runs" / head.name, accuracy, head)
    report(tmp_path / "runs")
    text = written(tmp_path / "runs").partition("## How to read")[0]
    assert "+1.00 (a single run has no spread)" in text
    assert "The 95 % intervals are over seeds" not in text
    assert "All comparisons" not in text


def test_only_comparisons_with_an_interval_are_counted_as_holding_together(runs: Path) -> None:
    for seed in range(3):
        write_run(runs / f"am{seed}", 75 + seed, AM_SOFTMAX, seed)
    write_run(runs / "other", 90, ModuleFacts("OtherHead", {}))
    report(runs)
    section = written(runs).partition("## All comparisons")[2]
    assert "| Other | +19.00 (a single run has no spread) |" in section
    assert "at least 95 have all 2 true differences within these intervals" in section


def test_differences_in_scores_are_counted_too(runs: Path) -> None:
    for run in runs.iterdir():
        record = read_results(run)
        test = record.evaluations["test"]
        values = {"nll": test.correct / 1000, "brier": 0.4}  # the Brier scores have no spread, and so no interval
        changed = replace(test, metrics={**test.metrics, **values})
        write_record(run / "results.json", replace(record, evaluations={"test": changed}))
    report(runs)
    assert "2 differences, in accuracy and in scores, have a 95 % interval over seeds" in written(runs)
