"""Whole runs through the command line: what a run says, writes and refuses."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from sbn_lightning import Classifier
from sbn_lightning.cli import commands

Sbn = Callable[..., None]
Fit = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, digits_root: Path) -> tuple[Path, str]:
    """A run trained once for all tests of this file, and what the training printed."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as text:
        patch.chdir(folder)
        commands.main(
            ["fit", "--config", "digits_sbn", "--data.root", str(digits_root), "--run_dir", "run",
             "--model.backbone.width", "4", "--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false",
             "--optimizer.lr", "0.05"]
        )  # fmt: skip
    return folder / "run", text.getvalue()


@pytest.fixture
def run(trained: tuple[Path, str], sbn: Sbn, tmp_path: Path) -> Path:
    """A copy of the trained run, as the folder `run` of the current one."""
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


def results(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def files(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_run_is_one_folder_and_without_a_hold_out_nothing_is_chosen(run: Path) -> None:
    names = set(files(run))
    events = {name for name in names if name.startswith("events.out.tfevents")}
    assert len(events) == 1
    records = {"config.yaml", "results.json", "metrics.jsonl", "metrics.csv", "results.csv", "run.lock"}
    assert names - events == records | {"checkpoints/last.ckpt", "checkpoints/previous.ckpt"}
    metrics = results(run)["fit"]["last"]
    assert "test_each_epoch/accuracy" in metrics
    assert not any(name.startswith(("val/", "test/")) for name in metrics)
    assert results(run)["fit"]["best"] is None


def test_start_says_what_will_happen(trained: tuple[Path, str]) -> None:
    _, text = trained
    for part in (
        "Digits: 1,437 train, 360 test images of 3×8×8, 10 classes",
        "smallest class 8 (139 training images), largest 1 (146)",
        "SmallCNN(width=4)",
        "ScaledBatchNormHead(scale=3.0",
        "128 images on one CPU (",
        "2 × 12 steps = 24 steps",
        "SGD(lr=0.05, momentum=0.9, weight_decay=0.0005); learning rate ×0.1 after epochs 15, 25",
        "32-true, seed 0",
        "the last epoch; each epoch is also tested (test_each_epoch/…), and nothing is chosen by that",
        "run/: config.yaml, results.json, metrics.jsonl, metrics.csv, results.csv",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("batch_size", "said"),
    [("359", "holds 360, because a few that were left over joined it: batch"), ("358", "holds 5\n")],
)
def test_last_batch_of_one_is_merged_and_said(
    batch_size: str, said: str, fit_digits: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit_digits("--data.batch_size", batch_size, "--trainer.log_every_n_steps", "1", "--trainer.max_epochs", "1")
    assert f"an epoch's last batch {said}" in capsys.readouterr().out
    # 1,437 is 4 * 359 + 1 and 4 * 358 + 5
    assert results(run)["training"]["steps"] == {"359": 4, "358": 5}[batch_size]


def test_end_says_what_came_out_and_what_to_do_next(trained: tuple[Path, str]) -> None:
    run, text = trained
    accuracy = results(run)["fit"]["last"]["test_each_epoch/accuracy"]
    assert f"test_each_epoch/accuracy {accuracy:.4f}" in text
    assert "sbn test --config run\n" in text
    assert "Written     run/: checkpoints/last.ckpt, checkpoints/previous.ckpt, config.yaml," in text
    assert "metrics.csv, metrics.jsonl, results.csv, results.json" in text


def test_record_says_when_and_by_which_command_and_has_no_noise(trained: tuple[Path, str], digits_root: Path) -> None:
    record = results(trained[0])
    started, ended = (datetime.fromisoformat(text) for text in (record["started"], record["fit"]["ended"]))
    assert started.tzinfo == timezone.utc
    assert timedelta(0) <= ended - started < timedelta(minutes=5)
    assert record["commands"] == [
        f"sbn fit --config digits_sbn --data.root {digits_root} --run_dir run --model.backbone.width 4 "
        "--trainer.max_epochs 2 --trainer.enable_progress_bar false --optimizer.lr 0.05"
    ]
    assert all(len(str(value)) < 14 for value in record["fit"]["last"].values()), record["fit"]["last"]


def test_results_table_has_a_row_for_each_epoch(trained: tuple[Path, str]) -> None:
    run, _ = trained
    first, second = csv.DictReader(io.StringIO((run / "results.csv").read_text()))
    assert list(first)[:6] == ["epoch", "step", "seconds", "lr-SGD", "train/accuracy", "train/top5_accuracy"]
    assert {"test_each_epoch/accuracy", "logits/std", "class_weight/norm_mean"} < first.keys()
    assert all("" not in row.values() for row in (first, second))
    assert (first["epoch"], first["step"], second["epoch"], second["step"]) == ("1", "12", "2", "24")
    assert float(first["seconds"]) + float(second["seconds"]) <= results(run)["fit"]["seconds"]
    assert float(second["train/accuracy"]) == results(run)["fit"]["last"]["train/accuracy"]


def test_with_hold_out_the_best_epoch_is_kept_apart(fit_digits: Fit, sbn: Sbn) -> None:
    run = fit_digits(
        "--data.validation_fraction", "0.2", "--trainer.log_every_n_steps", "5", "--trainer.val_check_interval", "0.3"
    )
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt", "best.ckpt"}
    fitted = results(run)["fit"]
    assert [epoch["epoch"] for epoch in fitted["epochs"]] == [1, 2]
    best = fitted["best"]  # of all validations, also those inside an epoch
    assert best["step"] == torch.load(run / "checkpoints/best.ckpt", weights_only=True)["global_step"]
    assert best["val/accuracy"] >= max(epoch["val/accuracy"] for epoch in fitted["epochs"])
    assert fitted["last"]["val/accuracy"] == fitted["epochs"][-1]["val/accuracy"]  # 10 steps are no multiple of 3
    assert not any(name.startswith("test") for name in fitted["last"])

    sbn("validate", "--config", "run/config.yaml", "--ckpt_path", "best")
    validated = results(run)["evaluations"]["validate_best"]
    assert validated["metrics"]["accuracy"] == pytest.approx(best["val/accuracy"])
    assert validated["correct"] == round(288 * best["val/accuracy"])
    assert validated["images"] == 288  # a fifth of 1,437


def test_test_and_predict_count_exactly_and_leave_events_and_config_as_they_are(run: Path, sbn: Sbn) -> None:
    kept = files(run)
    del kept["results.json"]
    sbn("test", "--config", "run/config.yaml")
    sbn("predict", "--config", "run/config.yaml")
    assert kept.items() <= files(run).items()
    assert {name for name in files(run) if "tfevents" in name} <= set(kept)
    rows = list(csv.DictReader((run / "predictions.csv").read_text().splitlines()))
    tested = results(run)["evaluations"]["test"]
    digits = [int(row["image"].removeprefix("load_digits/")) for row in rows]  # as scikit-learn numbers them
    assert load_digits().target[digits].tolist() == [int(row["label"]) for row in rows]
    assert len(set(digits)) == 360 == tested["images"]
    assert sum(row["predicted"] == row["label"] for row in rows) == tested["correct"]
    assert tested["metrics"]["accuracy"] == pytest.approx(tested["correct"] / 360)
    assert tested["metrics"]["accuracy"] == pytest.approx(results(run)["fit"]["last"]["test_each_epoch/accuracy"])
    assert tested["checkpoint"].endswith("checkpoints/last.ckpt")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["run already contains a training run", "--ckpt_path last", "--run_dir DIR"]),
        (["--ckpt_path", "last"], ["trained for 2 epochs (24 steps), as many as the command", "--trainer.max_epochs"]),
    ],
)
def test_second_training_in_a_runs_folder_is_refused(
    options: list[str], expected: list[str], run: Path, answer: Callable[..., str]
) -> None:
    before = files(run)
    text = answer("fit", "--config", "run/config.yaml", *options)
    assert all(part in text for part in expected), text
    assert files(run) == before


def test_training_continues_once_and_drops_the_results_of_the_old_checkpoint(
    run: Path, sbn: Sbn, answer: Callable[..., str]
) -> None:
    sbn("test", "--config", "run")
    assert "test" in results(run)["evaluations"]
    sbn("fit", "--config", "run", "--ckpt_path", "last", "--trainer.max_epochs", 3, "--optimizer.lr", 0.01)
    assert results(run)["training"]["changes"] == ["after step 24: optimizer.lr 0.05 → 0.01"]
    assert [epoch["epoch"] for epoch in results(run)["fit"]["epochs"]] == [1, 2, 3]
    assert results(run)["evaluations"] == {}
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 36
    assert "already contains a training run" in answer("fit", "--config", "run", "--trainer.max_epochs", "4")


def test_weights_alone_are_no_training_to_continue(run: Path, answer: Callable[..., str]) -> None:
    last = run / "checkpoints/last.ckpt"
    stored = torch.load(last, weights_only=True)
    torch.save({key: stored[key] for key in ("state_dict", "hyper_parameters")}, last)
    text = answer("fit", "--config", "run", "--ckpt_path", "last", "--trainer.max_epochs", "3")
    assert "was not written by sbn fit" in text


def test_run_is_found_by_its_folder_wherever_it_was_moved(
    run: Path, sbn: Sbn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run.rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sbn("test", "--config", "../moved")
    assert results(run)["evaluations"]["test"]["images"] == 360
    assert not any((tmp_path / "elsewhere").glob("runs"))


def test_checkpoint_of_another_head_is_refused_with_the_difference(run: Path, answer: Callable[..., str]) -> None:
    text = answer("test", "--config", "run/config.yaml", "--model.head.scale", "2")
    assert "model.head.init_args.scale is 3.0 there, 2.0 here" in text


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 truncated"])
def test_damaged_checkpoint_is_refused(content: bytes, run: Path, answer: Callable[..., str]) -> None:
    (run / "checkpoints/last.ckpt").write_bytes(content)
    text = answer("test", "--config", "run/config.yaml")
    assert "checkpoints/last.ckpt is not a checkpoint that can be loaded safely" in text


def test_checkpoint_loads_safely_and_without_its_config(run: Path, digits_root: Path) -> None:
    stored = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert stored["hyper_parameters"]["head"]["class_path"] == "sbn_lightning.ScaledBatchNormHead"
    model = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt", map_location="cpu")
    assert model.head.norm.scale == 3.0
    for name, value in model.state_dict().items():
        assert torch.equal(value, stored["state_dict"][name]), name
    assert dict(model.hparams) == stored["hyper_parameters"]  # so that it can be saved again


def test_damaged_results_are_named_and_left_alone(run: Path, answer: Callable[..., str]) -> None:
    (run / "results.json").write_text('{"fit": ')
    before = files(run)
    for command in (["test"], ["predict"], ["fit"], ["fit", "--ckpt_path", "last", "--trainer.max_epochs", "3"]):
        text = answer(*command, "--config", "run/config.yaml")
        assert "results.json cannot be read (Input data was truncated); repair it, or move it away" in text
        assert files(run) == before
