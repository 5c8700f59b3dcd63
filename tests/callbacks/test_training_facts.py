"""What trained a model, how far it came and what its numbers are of: in the record and on the screen."""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, Timer
from lightning.pytorch.callbacks.weight_averaging import EMAWeightAveraging
from torch import nn

from sbn_lightning.callbacks import LogitGradient
from sbn_lightning.callbacks.training_facts import (
    describe_callbacks,
    describe_optimizer,
    describe_schedule,
    limits,
    stopped_by,
    time_limit,
)
from sbn_lightning.cli import commands
from sbn_lightning.report.runs import read_run
from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import Results, read_results

Fit = Callable[..., Path]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, train_digits: Fit) -> tuple[Path, str]:
    """A run of 1.5 epochs, with all that shortens and changes a training, and what it printed."""
    folder = tmp_path_factory.mktemp("short") / "a run"
    options = [
        "--trainer.max_steps=9", "--trainer.accumulate_grad_batches=2", "--trainer.limit_val_batches=1",
        "--trainer.check_val_every_n_epoch=5", "--trainer.gradient_clip_val=1",
        "--trainer.gradient_clip_algorithm=value", "--trainer.callbacks+=EMAWeightAveraging",
        "--trainer.callbacks.decay=0.5",
    ]  # fmt: skip
    with redirect_stdout(io.StringIO()) as text:
        train_digits(*options, run_dir=folder)
    return folder, text.getvalue()


@pytest.fixture
def results(short: tuple[Path, str]) -> Results:
    return read_results(short[0])


def test_record_says_what_trained_the_model(results: Results) -> None:
    training = results.training
    assert (training.steps, training.steps_per_epoch, training.batches_per_epoch) == (9, 6, 12)
    assert (training.accumulate, training.gradient_clip, training.gradient_clip_algorithm) == (2, 1.0, "value")
    assert training.limits == ["max_steps 9"]
    assert training.callbacks == ["EMAWeightAveraging(decay=0.5)"]
    assert not training.is_plain


def test_unfinished_epoch_is_counted_as_a_part_and_the_end_is_evaluated(results: Results) -> None:
    fit = results.fit
    assert (fit.epochs_done, fit.last_epoch, fit.stopped_by) == (1.5, 2, "max_steps 9")
    assert results.trained
    assert "test_each_epoch/accuracy" in fit.last  # check_val_every_n_epoch 5 would have left it out
    assert fit.seen == {"train": 6 * 128, "test_each_epoch": 128}
    assert fit.last["train/accuracy"] * 6 * 128 == pytest.approx(round(fit.last["train/accuracy"] * 6 * 128))


def test_end_of_a_training_belongs_to_its_last_epoch(short: tuple[Path, str]) -> None:
    rows = read_metrics(short[0])
    assert rows[9]["epoch"] == 2  # inside of which the training ended, after 9 steps
    assert "test_each_epoch/accuracy" in rows[9]


def test_best_in_the_record_is_that_of_the_best_checkpoint(train_digits: Fit) -> None:
    """Validations would be due after 5 and 10 of the 11 batches of the second epoch, and steps end after 8 and 11."""
    run = train_digits(
        "--data.validation_fraction=0.1", "--trainer.accumulate_grad_batches=4", "--trainer.val_check_interval=5",
        "--trainer.check_val_every_n_epoch=2", "--trainer.max_epochs=3"
    )  # fmt: skip
    commands.main(["validate", "--config", str(run), "--ckpt_path", "best"])
    results = read_results(run)
    best, again = results.fit.best, results.evaluations["validate_best"]
    assert best["step"] == again.step
    assert best["step"] in (5, 6)  # not the end, after 9 steps, which is validated later than the settings ask for
    assert [best[f"val/{name}"] for name in ("accuracy", "loss")] == pytest.approx(
        [again.metrics[name] for name in ("accuracy", "loss")]
    )
    rows = read_metrics(run)
    assert {step: row["epoch"] for step, row in rows.items() if "val/accuracy" in row} == {4: 2, 5: 2, 8: 3}


def test_texts_say_what_the_numbers_are_of(short: tuple[Path, str]) -> None:
    for part in (
        "effective batch 256; what normalizes over the batch (batch normalization, SBN) still sees 128 images",
        "2 × 6 steps = 12 steps, of which 9 are trained",
        "Limit       max_steps 9\n",
        "Callback    EMAWeightAveraging(decay=0.5)\n",
        "gradients clipped by value at 1",
        "limit_val_batches 1: of a part of its images",
        "Trained     1.5 epochs in ",
        "stopped by max_steps 9\n",
        "At the end  test_each_epoch/accuracy",
        " (128 of 360 images; 95 %: ",
        " (768 of 1,437 images)\n",
        f"sbn test --config '{short[0]}'\n",  # there is a space in it
    ):
        assert part in short[1], part


def test_report_says_it_too(short: tuple[Path, str]) -> None:
    run = read_run(short[0], "short")
    for part in (
        "1.5 of 2 epochs", "batch 128, accumulated to 256 over 2 batches", "gradients clipped at 1.0 by value",
        "max_steps 9", "EMAWeightAveraging(decay=0.5)",
    ):  # fmt: skip
        assert part in run.protocol.split("; "), part


def test_test_of_a_part_of_the_images_counts_them_and_replaces_nothing(
    short: tuple[Path, str], sbn: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(short[0], tmp_path / "run"))
    before = (run / "results.json").read_bytes()
    sbn("test", "--config", run, "--trainer.fast_dev_run", True)
    assert "of 128 images seen, of 360; 95 %: " in capsys.readouterr().out
    assert ((run / "results.json").read_bytes(), list(run.glob("*.npz"))) == (before, [])

    sbn("test", "--config", run, "--trainer.limit_test_batches", 1)
    part = read_results(run).evaluations["test_partial"]
    assert f"({part.correct} of 128 images seen, of 360; 95 %: " in capsys.readouterr().out
    assert (part.images, part.available, read_results(run).finished) == (128, 360, False)
    found = read_run(run, "run")
    note = f"its test, of 128 of 360 images, is left out; do: sbn test --config {run} --trainer.limit_test_batches 1.0"
    assert (found.state, found.note) == ("not tested", note)

    sbn("test", "--config", run)
    whole = read_results(run).test
    arrays = (run / "test.npz").read_bytes()
    sbn("test", "--config", run, "--trainer.limit_test_batches", 1)
    assert (read_results(run).test, (run / "test.npz").read_bytes()) == (whole, arrays)
    assert (whole.images, read_run(run, "run").best_minus_last) == (360, None)  # of 128 images in each epoch

    sbn("predict", "--config", run, "--trainer.limit_predict_batches", 1)
    assert not (run / "predictions.csv").exists()
    assert "predictions_partial.csv (128 of 360 images)" in capsys.readouterr().out


def test_trial_leaves_nothing_behind(fit_digits: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit_digits("--trainer.fast_dev_run", "true")
    assert list(tmp_path.iterdir()) == []
    text = capsys.readouterr().out
    assert "Limit       limit_train_batches 1: 1 of 12 batches each epoch\n" in text
    assert "Writes      nothing" in text
    assert "Tried       1 batch of training and of validation; nothing was written" in text
    assert "sbn test" not in text


def test_what_is_not_there_is_not_promised(fit_digits: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="no TensorBoardLogger"):
        run = fit_digits(
            "--trainer.enable_checkpointing", "false", "--trainer.logger", "false", "--trainer.max_epochs", "1"
        )
    text = capsys.readouterr().out
    assert "config.yaml, results.json, metrics.jsonl, metrics.csv, results.csv\n" in text
    assert not any(word in text for word in ("TensorBoard events", "checkpoints/", "sbn test", "tensorboard --"))
    assert json.loads((run / "results.json").read_text())["fit"]["epochs_done"] == 1.0


def test_callbacks_that_only_watch_are_not_named() -> None:
    stopping = EarlyStopping("val/loss", patience=5)
    configs = [
        SimpleNamespace(get={"init_args": settings}.get)
        for settings in ({}, {}, {"monitor": "val/loss", "patience": 5, "mode": "min"}, {"decay": 0.9, "device": None})
    ]
    callbacks = [LearningRateMonitor(), LogitGradient(), stopping, EMAWeightAveraging(decay=0.9)]
    assert describe_callbacks(callbacks, configs) == [
        "EarlyStopping(monitor=val/loss, patience=5)",
        "EMAWeightAveraging(decay=0.9)",
    ]


def test_optimizer_and_schedules_are_named_with_their_settings() -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, weight_decay=0.0)
    assert describe_optimizer(optimizer) == "SGD(lr=0.1)"
    schedules = torch.optim.lr_scheduler
    for scheduler, text in (
        (schedules.CosineAnnealingLR(optimizer, T_max=30), "CosineAnnealingLR(T_max=30)"),
        (schedules.MultiStepLR(optimizer, [6, 3], 0.5), "learning rate ×0.5 after epochs 3, 6"),
        (schedules.StepLR(optimizer, 4), "StepLR(step_size=4)"),
    ):
        assert describe_schedule(SimpleNamespace(scheduler=scheduler, reduce_on_plateau=False)) == text
    plateau = SimpleNamespace(
        scheduler=schedules.ReduceLROnPlateau(optimizer, patience=3), reduce_on_plateau=True, monitor="val/loss"
    )
    assert describe_schedule(plateau) == "ReduceLROnPlateau(patience=3) on val/loss"


def test_steps_are_not_planned_where_they_were_changed_on_the_way(
    fit_digits: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    fit_digits("--trainer.limit_train_batches=0.5", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=5")
    run = fit_digits("--ckpt_path=last", "--trainer.log_every_n_steps=5")
    assert "Epochs      2 × 12 batches\n" in capsys.readouterr().out  # and not 24 steps
    results = read_results(run)
    assert (results.training.steps, results.fit.step) == (None, 6 + 12)
    assert results.training.changes == ["after step 6: trainer.limit_train_batches 0.5 → None"]


@pytest.mark.parametrize(
    ("callback", "found"),
    [
        (EarlyStopping("val/loss"), ["limit_val_batches 1", "check_val_every_n_epoch 2"]),
        (EarlyStopping("train/loss"), []),
        (ModelCheckpoint(monitor="val/loss"), []),  # follows them, and leaves the training as it is
    ],
)
def test_validations_by_which_a_training_is_decided_are_named(callback: Callback, found: list[str]) -> None:
    trainer = SimpleNamespace(
        num_training_batches=12, overfit_batches=0.0, max_steps=-1, callbacks=[callback], lr_scheduler_configs=[],
        limit_val_batches=1, val_check_interval=1.0, check_val_every_n_epoch=2,
    )  # fmt: skip
    assert limits(trainer, 12, 24) == found
    trainer.lr_scheduler_configs = [SimpleNamespace(monitor="val/loss")]
    assert limits(trainer, 12, 24) == ["limit_val_batches 1", "check_val_every_n_epoch 2"]


def test_limit_on_the_time_is_named_where_it_ended_the_training() -> None:
    timer, stopping = Timer(timedelta(seconds=3)), EarlyStopping("val/loss")
    trainer = SimpleNamespace(max_epochs=5, max_steps=-1, global_step=20, callbacks=[stopping, timer])
    assert time_limit(timer) == "0:00:03"
    assert stopped_by(trainer, 5.0) == ""
    assert stopped_by(trainer, 2.5) == "a callback"
    stopping.stopping_reason_message = "val/loss did not improve. Signaling Trainer to stop."
    assert stopped_by(trainer, 2.0) == "EarlyStopping: val/loss did not improve"
    timer.load_state_dict({"time_elapsed": {"train": 3.1}})
    assert stopped_by(trainer, 2.5) == "max_time 0:00:03"
