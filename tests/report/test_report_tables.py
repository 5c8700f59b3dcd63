"""The tables of a report: their columns, and their notes on which intervals there are and what they mean together."""

from pathlib import Path

from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, planned, results, write_grid, write_results, write_run, written
from msgspec.structs import replace

from sbn_lightning.report.command import report
from sbn_lightning.run.facts import ModuleFacts
from sbn_lightning.run.records import read_results, write_record

HEADS = (SOFTMAX, SBN)


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


def header(runs: Path) -> list[str]:
    """The columns of the accuracy table."""
    line = next(line for line in written(runs).splitlines() if line.startswith("| Head |"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_accuracy_is_the_second_column_and_columns_without_values_are_left_out(reported: Path) -> None:
    over_seeds = "Head − softmax (95 % over seeds)"
    assert header(reported) == ["Head", "Accuracy", over_seeds, "Detectable", "Also for other images (95 %)"]


def test_held_out_best_and_test_results_stand_side_by_side(tmp_path: Path) -> None:
    record = results(70)
    fit = replace(
        record.fit, last={"val/accuracy": 0.68}, best={"epoch": 2, "step": 80, "val/accuracy": 0.75, "val/loss": 1.0}
    )
    best = replace(record.evaluations["test"], checkpoint="checkpoints/best.ckpt", correct=720)
    tested = replace(record, fit=fit, evaluations=record.evaluations | {"test_best": best})
    write_results(tmp_path / "runs" / "tested", tested)
    untested = replace(results(70, AM_SOFTMAX), fit=fit, evaluations={})
    write_results(tmp_path / "runs" / "untested", tested)
    write_record(tmp_path / "runs" / "untested" / "results.json", untested)
    report(tmp_path / "runs")
    assert header(tmp_path / "runs")[-4:] == ["Held-out", "Held-out, best epoch", "Test, best epoch", "Finished runs"]
    text = written(tmp_path / "runs")
    assert "| SBN, scale 0.9 | 70.00 (1) | no finished softmax run | 68.00 (1) | 75.00 (1) | 72.00 (1) | 1/1 |" in text
    assert "margin 0.35 | – | no finished run | 68.00 (1) | 75.00 (1) | – | 0/1 |" in text


def test_what_settings_were_tuned_on_is_said_once_beside_what_chose_no_epoch(tmp_path: Path) -> None:
    tuned_on = "test set (learning rate)"
    write_grid(tmp_path / "runs", [planned(h.name, h, h.name, 0, tuned_on=tuned_on, declared=True) for h in HEADS])
    for head in HEADS:
        write_run(tmp_path / "runs" / head.name, 70, head)
    report(tmp_path / "runs")
    text = written(tmp_path / "runs")
    assert text.count(tuned_on) == 1
    assert f"- Settings were chosen on: {tuned_on}. No epoch was chosen by the test set: these are the results" in text
    assert "Nothing was chosen" not in text


def test_settings_that_were_tuned_on_different_images_have_a_column(tmp_path: Path) -> None:
    images = {SOFTMAX.name: "paper", SBN.name: "hold-out"}
    write_grid(
        tmp_path / "runs", [planned(h.name, h, h.name, 0, tuned_on=images[h.name], declared=True) for h in HEADS]
    )
    for head in HEADS:
        write_run(tmp_path / "runs" / head.name, 70, head)
    report(tmp_path / "runs")
    assert header(tmp_path / "runs")[-1] == "Tuned on"


def test_every_run_is_on_the_page_folded_with_the_command_that_trained_it(runs: Path) -> None:
    write_grid(runs, [planned("sbn0", SBN, "SBN", 0, declared=True, arguments=["--config", "digits_sbn"])])
    started = replace(results(70, SOFTMAX), started="2026-11-27T09:26:13+00:00", commands=["sbn fit --config x"])
    write_record(runs / "softmax0" / "results.json", started)
    report(runs)
    section = written(runs).partition("<summary>Every run</summary>")[2].partition("</details>")[0]
    assert "| sbn0 | 71.00 | 0 | 0.00 | 3 | 90 s | – | sbn fit --config digits\\_sbn |" in section
    assert "| softmax0 | 70.00 | 0 | 0.00 | 3 | 90 s | 2026-11-27 09:26 | sbn fit --config x |" in section
    assert written(runs, "report.html").count("<details>") == 2


def test_when_on_what_and_with_what_was_trained_and_the_reports_command_stand_on_the_page(runs: Path) -> None:
    for name, day, when in (("softmax0", "26", "on 2026-11-26"), ("sbn2", "27", "from 2026-11-26 to 2026-11-27")):
        record = read_results(runs / name)
        write_record(runs / name / "results.json", replace(record, started=f"2026-11-{day}T09:26:13+00:00"))
        report(runs)
        origin = f"Trained {when}, on made up, 2 cores with torch 2.15.0 at commit 0123456789ab."
        command = f"This page is made by:\n\n    sbn report {runs}\n"
        assert f"## How this page was made\n\n{origin} {command}" in written(runs)
