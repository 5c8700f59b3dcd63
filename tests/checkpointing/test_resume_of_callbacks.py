"""Lightning's callbacks and schedules, each in a training that is killed in the middle of an epoch and continued."""

import json
from collections.abc import Callable
from pathlib import Path

import own_classes
import pytest
from msgspec.structs import replace

from sbn_lightning.checkpointing.verify import compare_checkpoints
from sbn_lightning.run.records import read_results

Fit = Callable[..., Path]
KILLS = (17, 22)  # in the second epoch, of 12 steps or, with accumulated gradients, 6; continued from 15 and 20
LAST = "checkpoints/last.ckpt"
CALLBACK = "--trainer.callbacks+="
FITS = {
    "ReduceLROnPlateau, EMAWeightAveraging": [
        "--lr_scheduler=ReduceLROnPlateau", "--lr_scheduler.monitor=train/loss", "--lr_scheduler.patience=0",
        "--lr_scheduler.mode=max", f"{CALLBACK}EMAWeightAveraging", "--trainer.callbacks.decay=0.9",
    ],
    "StochasticWeightAveraging, BackboneFinetuning": [  # which trains the backbone when weights are averaged already
        f"{CALLBACK}BackboneFinetuning", "--trainer.callbacks.unfreeze_backbone_at_epoch=1",
        f"{CALLBACK}StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.05",
        "--trainer.callbacks.swa_epoch_start=1", "--trainer.callbacks.annealing_epochs=2",
    ],
    "GradientAccumulationScheduler, EarlyStopping": [  # which asks after the first epoch already
        f"{CALLBACK}GradientAccumulationScheduler", "--trainer.callbacks.scheduling={1: 2}",
        f"{CALLBACK}EarlyStopping", "--trainer.callbacks.monitor=train/loss",
        "--trainer.callbacks.stopping_threshold=100", "--trainer.min_epochs=3", "--trainer.log_every_n_steps=4",
    ],
    "BackboneFinetuning": [
        f"{CALLBACK}BackboneFinetuning", "--trainer.callbacks.unfreeze_backbone_at_epoch=1",
    ],
}  # fmt: skip


@pytest.mark.parametrize("callbacks", FITS)
def test_training_with_callbacks_of_lightning_continues_exactly(callbacks: str, fit_digits: Fit) -> None:
    fit = ["--model.backbone=own_classes.DropoutCNN", "--trainer.max_epochs=3", "--checkpoint.every_n_steps=5"]
    fit += [*FITS[callbacks], "--auto_resume=true"]
    whole = fit_digits(*fit, run_dir="whole")
    for step in KILLS:
        with pytest.raises(own_classes.InterruptionError):
            fit_digits(*fit, f"{CALLBACK}own_classes.Interrupt", f"--trainer.callbacks.step={step}")
    assert_same_training(whole, fit_digits(*fit))


@pytest.fixture
def fit(fit_digits: Fit) -> Fit:
    """Train two epochs of 12 steps, or go on."""
    return lambda *options, **run_dir: fit_digits("--auto_resume=true", *options, **run_dir)


@pytest.mark.parametrize(
    ("end", "options"),
    [
        (["--trainer.max_steps=17"], ["--checkpoint.every_n_steps=5"]),
        ([f"{CALLBACK}own_classes.StopAt", "--trainer.callbacks.batch=15"], ["--trainer.accumulate_grad_batches=2"]),
        (["--trainer.max_epochs=1"], ["--trainer.check_val_every_n_epoch=2"]),
    ],
    ids=["max_steps", "between two accumulated batches", "an epoch that is not validated"],
)
def test_training_that_was_ended_early_goes_on_as_if_it_had_not(end: list[str], options: list[str], fit: Fit) -> None:
    whole = fit(*options, run_dir="whole")
    short = json.loads((fit(*options, *end) / "results.json").read_text())
    assert "test_each_epoch/accuracy" in short["fit"]["last"]  # the end is validated, wherever it is
    assert_same_training(whole, fit(*options))


def test_training_that_was_stopped_early_is_complete_until_it_gets_more_patience(
    fit: Fit, capsys: pytest.CaptureFixture[str], answer: Callable[..., str]
) -> None:
    stopping = [f"{CALLBACK}EarlyStopping", "--trainer.callbacks.monitor=train/accuracy", "--trainer.max_epochs=4"]
    whole = fit(*stopping, "--trainer.callbacks.patience=2", run_dir="whole")  # accuracy should be as low as possible
    assert last_epoch(whole) == 3
    once = fit(*stopping, "--trainer.callbacks.patience=1")
    kept = {path: path.read_bytes() for path in once.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as end:
        fit(*stopping, "--trainer.callbacks.patience=1")
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "has been trained for 2 epochs (24 steps), and EarlyStopping has stopped it: Monitored metric" in said
    assert {path: path.read_bytes() for path in once.rglob("*") if path.is_file()} == kept
    assert "raise its patience" in answer("fit", "--config", once, "--ckpt_path=last")
    assert_same_training(whole, fit(*stopping, "--trainer.callbacks.patience=2"))


def test_training_that_is_to_stop_after_its_least_epochs_does_so_when_continued(fit: Fit) -> None:
    stopping = [f"{CALLBACK}EarlyStopping", "--trainer.callbacks.monitor=train/accuracy", "--trainer.min_epochs=3"]
    stopping += ["--trainer.callbacks.patience=1", "--trainer.max_epochs=4", "--checkpoint.every_n_steps=5"]
    with pytest.raises(own_classes.InterruptionError):
        fit(*stopping, f"{CALLBACK}own_classes.Interrupt", "--trainer.callbacks.step=32")
    assert last_epoch(fit(*stopping, "--lr_scheduler.gamma=0.2")) == 3


def test_training_that_has_used_up_its_time_is_complete(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--trainer.max_time=00:01:00:00", "--trainer.max_epochs=1")
    with pytest.raises(SystemExit) as end:
        fit("--trainer.max_time=00:00:00:00")
    assert end.value.code == 0
    assert "(12 steps), in all the time that the command allows" in capsys.readouterr().out


def last_epoch(run: Path) -> int:
    """The number of epochs that a run says it has trained."""
    return int(json.loads((run / "results.json").read_text())["fit"]["last_epoch"])


def assert_same_training(whole: Path, run: Path) -> None:
    for group in compare_checkpoints(whole / LAST, run / LAST):
        assert not group.different, f"{group.kind}: {len(group.different)} of {group.compared}: {group.different[0]}"
    assert (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    records = [read_results(folder) for folder in (whole, run)]
    assert records[0].model == records[1].model
    if not records[1].training.changes:
        assert replace(records[0].training, limits=[], callbacks=[]) == replace(
            records[1].training, limits=[], callbacks=[]
        )
