"""Lightning's callbacks and schedules, each in a training that is killed in the middle of an epoch and continued."""

from collections.abc import Callable
from pathlib import Path

import own_classes
import pytest

from sbn_lightning.checkpointing.verify import compare_checkpoints

Fit = Callable[..., Path]
KILLS = (17, 22)  # in the second epoch, of 12 steps or, with accumulated gradients, 6; continued from 15 and 20
LAST = "checkpoints/last.ckpt"
CALLBACK = "--trainer.callbacks+="
FITS = {
    "ReduceLROnPlateau, EMAWeightAveraging": [
        "--lr_scheduler=ReduceLROnPlateau", "--lr_scheduler.monitor=train/loss", "--lr_scheduler.patience=0",
        "--lr_scheduler.mode=max", f"{CALLBACK}EMAWeightAveraging", "--trainer.callbacks.decay=0.9",
    ],
    "StochasticWeightAveraging": [
        f"{CALLBACK}StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.05",
        "--trainer.callbacks.swa_epoch_start=1", "--trainer.callbacks.annealing_epochs=2",
    ],
    "GradientAccumulationScheduler, EarlyStopping": [
        f"{CALLBACK}GradientAccumulationScheduler", "--trainer.callbacks.scheduling={1: 2}",
        f"{CALLBACK}EarlyStopping", "--trainer.callbacks.monitor=train/loss",
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


def assert_same_training(whole: Path, run: Path) -> None:
    for group in compare_checkpoints(whole / LAST, run / LAST):
        assert not group.different, f"{group.kind}: {len(group.different)} of {group.compared}: {group.different[0]}"
    assert (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
