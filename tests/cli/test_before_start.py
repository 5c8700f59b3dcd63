"""What is refused or said once everything is built, and before the first step."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

Answer = Callable[..., str]
Fit = Callable[..., Path]
EARLY = "--trainer.callbacks+ EarlyStopping --trainer.callbacks.monitor"
PLATEAU = "--lr_scheduler ReduceLROnPlateau --lr_scheduler.monitor"
ONE_CYCLE = ["--lr_scheduler=OneCycleLR", "--lr_scheduler.max_lr=0.1"]
DIVIDED = "--trainer.accelerator cpu --trainer.devices 2 --trainer.strategy sharded_head"
TABLE = {
    f"{EARLY} val_loss": ["--trainer.callbacks.monitor: there is no metric 'val_loss'", "train/loss", "held-out"],
    f"{EARLY} train/acuracy": ["did you mean 'train/accuracy'?"],
    f"{PLATEAU} val/loss": ["--lr_scheduler.monitor: there is no metric 'val/loss'", "train/loss", "held-out"],
    f"{EARLY} test_each_epoch/loss": [
        "--trainer.callbacks.monitor: test_each_epoch/loss is measured on the test", "--data.validation_fraction 0.1",
    ],
    f"{PLATEAU} test_each_epoch/loss": ["--lr_scheduler.monitor: test_each_epoch/loss is measured on the test"],
    "--trainer.callbacks+ ModelCheckpoint --trainer.callbacks.monitor test_each_epoch/loss": ["is measured on the"],
    f"{PLATEAU} val/loss --data.validation_fraction 0.2 --trainer.check_val_every_n_epoch 2": [
        "val/loss is measured every 2 epochs", "--trainer.check_val_every_n_epoch 1",
    ],
    "--trainer.callbacks+ ModelCheckpoint --trainer.callbacks.monitor val_loss": ["there is no metric 'val_loss'"],
    f"{EARLY} val/loss --data.validation_fraction 0.2 --trainer.limit_val_batches 0": ["there is no metric 'val/loss'"],
    "--lr_scheduler OneCycleLR --lr_scheduler.max_lr 0.1 --lr_scheduler.total_steps 36": [
        "OneCycleLR is made for 36 steps, and this training has 360 in 30 epochs; set --lr_scheduler.total_steps 360"
    ],
    "--trainer.accelerator cpu --trainer.devices 2 --trainer.sync_batchnorm true": ["--trainer.sync_batchnorm: "],
    "--trainer.accelerator cpu --trainer.devices 2 --trainer.callbacks+ BackboneFinetuning": ["one device only"],
    "--trainer.accelerator cpu --trainer.devices 2 --trainer.callbacks+ OnExceptionCheckpoint "
    "--trainer.callbacks.dirpath own": ["OnExceptionCheckpoint works on one device only", "leave it out"],
    f"{DIVIDED} --model.head PEDCCHead": ["--trainer.strategy: the classes of PEDCCHead cannot be divided"],
    f"{DIVIDED} --trainer.callbacks+ StochasticWeightAveraging --trainer.callbacks.swa_lrs 0.1": ["leave it out"],
    f"{DIVIDED} --trainer.detect_anomaly true": ["--trainer.detect_anomaly: torch cannot look for NaN", "leave it out"],
    f"{DIVIDED} --optimizer.fused true": ["--optimizer.fused: it cannot train a divided head", "set it to false"],
    f"{DIVIDED} --optimizer.foreach true": ["--optimizer.foreach: it cannot train a divided head"],
}  # fmt: skip


@pytest.mark.parametrize("options", TABLE)
def test_what_would_fail_later_is_refused_before_the_first_step(
    options: str, answer: Answer, digits_root: Path
) -> None:
    text = answer("fit", "--config", "digits_sbn", "--run_dir", "run", "--data.root", digits_root, *options.split())
    assert all(part in text for part in TABLE[options]), text
    assert not Path("run").exists()


def test_metric_of_the_users_own_callback_may_be_followed(fit_digits: Fit) -> None:
    own = ["--trainer.callbacks+=own_classes.LogsOwnMetric", "--trainer.callbacks+=EarlyStopping"]
    fit_digits("--trainer.max_epochs=1", *own, "--trainer.callbacks.monitor=own/metric")


def test_metric_that_is_not_measured_yet_when_it_is_needed_is_named(fit_digits: Fit, answer: Answer) -> None:
    early = [*EARLY.split(), "train/loss", "--trainer.val_check_interval", "0.5"]
    with pytest.raises(SystemExit) as end:
        fit_digits(*early)
    assert end.value.code == 2


def test_one_cycle_makes_its_steps_after_each_step_of_the_optimizer(fit_digits: Fit) -> None:
    run = fit_digits(*ONE_CYCLE, "--lr_scheduler.total_steps=24")
    (state,) = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["lr_schedulers"]
    assert state["last_epoch"] == 24
    run = fit_digits(*ONE_CYCLE, "--lr_scheduler.total_steps=2", run_dir="by_epoch")
    (state,) = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["lr_schedulers"]
    assert state["last_epoch"] == 2
