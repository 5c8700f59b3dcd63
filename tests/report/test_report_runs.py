"""Reading run folders: every state has a name, and no damaged file stops the reading."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import SBN, SOFTMAX, planned, results, write_grid, write_run, written
from msgspec import to_builtins
from msgspec.structs import replace

from sbn_lightning.report.command import report
from sbn_lightning.report.runs import read_runs
from sbn_lightning.run.files import GRID, RESULTS, RUN
from sbn_lightning.run.lock import run_lock
from sbn_lightning.run.records import Attempts, BrokenRecordError, write_record


def states(root: Path) -> dict[str, str]:
    return {run.name: run.state for run in read_runs(root)}


def test_finished_run_has_its_numbers(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 71.5, seed=4, epochs=[60.0, 73.0, 71.5])
    (run,) = read_runs(tmp_path)
    assert (run.name, run.state, run.seed) == ("run", "finished", 4)
    assert states(tmp_path / "run") == {"run": "finished"}  # a folder that is a run itself
    assert run.accuracy == pytest.approx(71.5)
    assert run.best_minus_last == pytest.approx(1.5)


def test_runs_are_found_below_any_folders_but_not_within_a_run_or_the_report(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "b" / "run", 70)
    write_run(tmp_path / "a" / "b" / "run" / "checkpoints", 70)
    write_run(tmp_path / "report" / "run", 70)
    assert [run.name for run in read_runs(tmp_path, skip=tmp_path / "report")] == ["a/b/run"]


def without(record: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in keys}


def with_test(record: dict[str, Any], **changes: object) -> dict[str, Any]:
    return record | {"evaluations": {"test": record["evaluations"]["test"] | changes}}


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "stopped": (lambda record: without(record, "fit", "evaluations"), "unfinished", "sbn fit"),
    "stopped later": (lambda r: r | {"fit": r["fit"] | {"last_epoch": 1}}, "unfinished", "--ckpt_path last"),
    "not tested": (lambda record: without(record, "evaluations"), "not tested", "sbn test --config"),
    "other tested": (lambda record: with_test(record, checkpoint="best.ckpt"), "not tested", "sbn test --config"),
    "diverged": (lambda record: with_test(record, metrics={"loss": None}), "unreadable", "not a finite number"),
    "no model": (lambda record: without(record, "model"), "unreadable", "does not say what the run trained"),
    "other type": (lambda record: record | {"data": []}, "unreadable", "got `array` - at `$.data`"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_run_that_is_not_finished_says_why(tmp_path: Path, name: str) -> None:
    change, state, note = CHANGES[name]
    folder = write_run(tmp_path / "run", 70)
    (folder / RESULTS).write_text(json.dumps(change(to_builtins(results(70)))))
    (run,) = read_runs(tmp_path)
    assert (run.state, run.is_finished) == (state, False)
    assert note in run.note


@pytest.mark.parametrize("content", ["", "{", '{"fit": ', "\0\0\0", "[1]"])
@pytest.mark.parametrize("name", ["results.json", "run.json"])
def test_broken_file_makes_a_run_unreadable(tmp_path: Path, name: str, content: str) -> None:
    (write_run(tmp_path / "broken", 70) / name).write_text(content)
    write_run(tmp_path / "whole", 70)
    assert states(tmp_path) == {"broken": "unreadable", "whole": "finished"}


def test_damaged_run_is_named_with_file_and_key_and_left_out_of_the_tables(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / f"seed{seed}", 70 + seed, SOFTMAX, seed)
    record = to_builtins(results(72, SOFTMAX, 2))
    (tmp_path / "seed2" / RESULTS).write_text(json.dumps(with_test(record, images="many")))
    report(tmp_path)
    text = written(tmp_path)
    assert "seed2 is left out of all tables: " in text
    assert "seed2/results.json has invalid content" in text
    assert ".images" in text.partition("has invalid content")[2].partition("repair it")[0]
    assert "70.50" in text  # the mean of the other two


def test_failed_run_has_its_error_and_one_with_a_lock_is_running(tmp_path: Path) -> None:
    record = replace(results(70), fit=None, evaluations={})
    for state in ("failed", "running"):
        write_record(write_run(tmp_path / state, 70) / RESULTS, record)
    write_record(tmp_path / "failed" / RUN, Attempts(attempts=2, error="line 1\nout of memory"))
    with run_lock(tmp_path / "running"):
        runs = {run.name: run for run in read_runs(tmp_path)}
    assert (runs["failed"].state, runs["failed"].note) == ("failed", "line 1\nout of memory")
    assert runs["running"].state == "running"


def test_finished_record_counts_whatever_the_runner_wrote_last(tmp_path: Path) -> None:
    write_record(write_run(tmp_path / "run", 70) / RUN, Attempts(1, error="killed"))
    assert states(tmp_path) == {"run": "finished"}


def test_grid_tells_what_has_not_started(tmp_path: Path) -> None:
    write_grid(tmp_path, [planned(f"softmax/seed{seed}", SOFTMAX, "softmax", seed) for seed in (0, 1)])
    write_run(tmp_path / "softmax" / "seed0", 70, SOFTMAX)
    write_run(tmp_path / "another", 70, SBN)
    assert states(tmp_path) == {"softmax/seed0": "finished", "softmax/seed1": "not started", "another": "finished"}


@pytest.mark.parametrize("content", ["", "[]", '{"runs": [3]}', '{"runs": [{}]}'])
def test_broken_grid_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / GRID).write_text(content)
    with pytest.raises(BrokenRecordError, match=r"grid\.json (cannot be read|has invalid content)"):
        read_runs(tmp_path)


def test_record_of_the_layout_before_version_1_is_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 70)
    record = without(to_builtins(results(70)), "version", "evaluations")
    record["model"]["head"].pop("title")
    record["test"] = {
        "checkpoint": "checkpoints/last.ckpt", "images": 1000, "correct": 900, "test/accuracy": 0.9, "test/loss": 0.5,
        "test/nll": 0.4, "refitted": {"nll": 0.3, "calibration_error": 0.1, "scales": [1.0, 2.0]},
    }  # fmt: skip
    (folder / RESULTS).write_text(json.dumps(record))
    (folder / RUN).write_text('{"state": "finished", "attempts": 1, "seconds": 9.5, "error": null}')
    (run,) = read_runs(tmp_path)
    assert (run.state, run.accuracy, run.test.metrics["nll"]) == ("finished", 90.0, 0.4)
    assert run.head.title == "ScaledBatchNorm"


def test_run_in_a_folder_that_cannot_be_locked_is_read(tmp_path: Path) -> None:
    (write_run(tmp_path / "run", 70) / "run.lock").mkdir()
    assert states(tmp_path) == {"run": "finished"}
