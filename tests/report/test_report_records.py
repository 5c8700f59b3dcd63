"""Reading run folders: every state has a name, and nothing that lies there stops the reading."""

import json
from pathlib import Path

import pytest
from made_up_runs import SBN, SOFTMAX, planned, results, write_grid, write_record, write_run

from sbn_lightning.report.records import UnreadableRecordError
from sbn_lightning.report.run_folders import read_runs


def states(root: Path) -> dict[str, str]:
    return {run.name: run.state for run in read_runs(root)}


def test_finished_run_tells_its_outcome(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 71.5, seed=4, epochs=[60.0, 73.0, 71.5])
    (run,) = read_runs(tmp_path)
    assert (run.name, run.state, run.seed) == ("run", "finished", 4)
    assert run.outcome is not None
    assert run.outcome.accuracy == pytest.approx(71.5)
    assert run.outcome.flattered == pytest.approx(1.5)
    assert run.outcome.refitted_nll == 0.8


def test_folder_that_is_a_run_itself_is_read(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 71.5)
    assert states(tmp_path / "run") == {"run": "finished"}


def test_runs_are_found_below_any_folders_but_not_within_a_run_or_the_report(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "b" / "run", 70)
    write_run(tmp_path / "a" / "b" / "run" / "checkpoints", 70)
    write_run(tmp_path / "report" / "run", 70)
    assert [run.name for run in read_runs(tmp_path, skip=tmp_path / "report")] == ["a/b/run"]


def unfinished(record: dict) -> dict:
    return record | {"fit": record["fit"] | {"last_epoch": 1}}


def scored_best(record: dict) -> dict:
    return record | {"test": record["test"] | {"checkpoint": "runs/x/checkpoints/best.ckpt"}}


def diverged(record: dict) -> dict:
    return record | {"test": record["test"] | {"test/loss": float("nan")}}


def settings_without_names(record: dict) -> dict:
    return record | {"model": record["model"] | {"head": {"name": "SoftmaxHead", "settings": [0.9]}}}


def without_epochs(record: dict) -> dict:
    return {key: record[key] for key in record if key not in ("fit", "test")} | {"training": {"seed": 0}}


@pytest.mark.parametrize(
    ("change", "state", "note"),
    [
        (lambda record: {key: record[key] for key in record if key not in ("fit", "test")}, "unfinished", "sbn fit"),
        (unfinished, "unfinished", "--ckpt_path last"),
        (lambda record: {key: record[key] for key in record if key != "test"}, "not tested", "sbn test --config"),
        (scored_best, "tested elsewhere", "best.ckpt"),
        (diverged, "unreadable", "test/loss is nan"),
        (lambda record: {key: record[key] for key in record if key != "model"}, "unreadable", "KeyError 'model'"),
        (lambda record: record | {"data": []}, "unreadable", "TypeError"),
        (settings_without_names, "unreadable", "AttributeError"),
        (without_epochs, "unreadable", "KeyError 'epochs'"),
        (lambda record: [record], "unreadable", "no JSON object"),
    ],
)
def test_run_that_is_not_finished_says_why(tmp_path: Path, change, state: str, note: str) -> None:  # type: ignore[no-untyped-def]
    folder = write_run(tmp_path / "run", 70)
    (folder / "results.json").write_text(json.dumps(change(results(70))))
    (run,) = read_runs(tmp_path)
    assert (run.state, run.outcome) == (state, None)
    assert note in run.note


@pytest.mark.parametrize("content", ["", "{", '{"fit": ', "\0\0\0", "[1]"])
@pytest.mark.parametrize("name", ["results.json", "run.json"])
def test_broken_file_makes_a_run_unreadable(tmp_path: Path, name: str, content: str) -> None:
    (write_run(tmp_path / "broken", 70) / name).write_text(content)
    write_run(tmp_path / "whole", 70)
    assert states(tmp_path) == {"broken": "unreadable", "whole": "finished"}


def test_runner_tells_failed_and_running(tmp_path: Path) -> None:
    record = {key: value for key, value in results(70).items() if key not in ("fit", "test")}
    for state in ("failed", "running"):
        folder = write_run(tmp_path / state, 70)
        (folder / "results.json").write_text(json.dumps(record))
        (folder / "run.json").write_text(json.dumps({"state": state, "attempts": 2, "error": "line 1\nout of memory"}))
    runs = {run.name: run for run in read_runs(tmp_path)}
    assert (runs["failed"].state, runs["failed"].note) == ("failed", "line 1\nout of memory")
    assert runs["running"].state == "running"


def test_finished_record_counts_whatever_the_runner_wrote_last(tmp_path: Path) -> None:
    (write_run(tmp_path / "run", 70) / "run.json").write_text('{"state": "failed"}')
    assert states(tmp_path) == {"run": "finished"}


def test_grid_tells_what_has_not_started(tmp_path: Path) -> None:
    write_grid(tmp_path, [planned(f"softmax/seed{seed}", SOFTMAX, "softmax", seed) for seed in (0, 1)])
    write_run(tmp_path / "softmax" / "seed0", 70, SOFTMAX)
    write_run(tmp_path / "another", 70, SBN)
    assert states(tmp_path) == {"softmax/seed0": "finished", "softmax/seed1": "not started", "another": "finished"}


@pytest.mark.parametrize("content", ["", "{}", '{"runs": [3]}', '{"runs": [{}]}'])
def test_broken_grid_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "grid.json").write_text(content)
    with pytest.raises(UnreadableRecordError, match=r"grid\.json cannot be read"):
        read_runs(tmp_path)


def test_curves_and_arrays_are_read_by_name(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 70)
    (run,) = read_runs(tmp_path)
    curves = run.curves("gradient/logit_norm", "no/such_tag")
    assert curves == {"gradient/logit_norm": [(50 * row + 49, 1 / (row + 1)) for row in range(12)]}
    assert run.stored("class_names")["class_names"].tolist() == [f"class {number}" for number in range(10)]


def test_missing_curves_and_arrays_are_empty_and_broken_ones_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 70)
    (run,) = read_runs(tmp_path)
    (folder / "metrics.csv").write_text("epoch,step,a\n1,x,2\n")
    (folder / "test.npz").write_bytes((folder / "test.npz").read_bytes()[:500])
    with pytest.raises(UnreadableRecordError, match=r"metrics\.csv cannot be read"):
        run.curves("a")
    with pytest.raises(UnreadableRecordError, match=r"test\.npz cannot be read"):
        run.stored("logits")
    for name in ("metrics.csv", "test.npz"):
        (folder / name).unlink()
    assert run.curves("a") == {}
    assert run.stored("logits") == {}


def test_run_whose_logits_have_no_best_scale_is_read(tmp_path: Path) -> None:
    record = results(70)
    record["test"]["refitted"] = None
    write_record(tmp_path / "run", record)
    (run,) = read_runs(tmp_path)
    assert run.outcome is not None
    assert run.outcome.refitted_nll is None
    assert run.outcome.nll == 0.9
