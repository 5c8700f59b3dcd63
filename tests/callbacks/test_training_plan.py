"""What a training is told before its first step, and after twenty."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim import SGD, lr_scheduler

from sbn_lightning.callbacks import training_plan
from sbn_lightning.callbacks.training_plan import expected_end, never_logged, never_reached, why_no_best


def said(epochs: int, make: Callable[[SGD], Any], interval: str = "epoch", accumulate: int = 1) -> list[str]:
    """Of a training of 10 batches an epoch."""
    scheduler = make(SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))
    config = SimpleNamespace(scheduler=scheduler, interval=interval, frequency=1)
    trainer = SimpleNamespace(
        lr_scheduler_configs=[config], num_training_batches=10, accumulate_grad_batches=accumulate
    )
    return list(never_reached(trainer, epochs * -(-10 // accumulate)))


def steps_at(*milestones: int) -> Callable[[SGD], Any]:
    return lambda optimizer: lr_scheduler.MultiStepLR(optimizer, list(milestones))


def test_milestones_behind_the_end_are_named() -> None:
    (text,) = said(60, steps_at(30, 60, 90))
    assert text == (
        "the training ends after 60 epochs, so MultiStepLR never reaches its milestones 60, 90; "
        "see --lr_scheduler.milestones and --trainer.max_epochs"
    )
    assert said(91, steps_at(30, 60, 90)) == []
    assert "after 1 epoch, so" in said(1, steps_at(10))[0]
    assert "after 10 epochs" in said(10, steps_at(10), accumulate=4)[0]
    assert said(2, steps_at(11), interval="step") == []
    assert "ends after 20 steps" in said(2, steps_at(20), interval="step")[0]


def test_other_schedules_that_are_longer_than_the_training_are_named() -> None:
    assert "StepLR never reaches its step_size 5" in said(5, lambda o: lr_scheduler.StepLR(o, 5))[0]
    assert "CosineAnnealingLR never reaches its T_max 6" in said(5, lambda o: lr_scheduler.CosineAnnealingLR(o, 6))[0]
    assert "LinearLR never reaches its total_iters 9" in said(5, lambda o: lr_scheduler.LinearLR(o, total_iters=9))[0]
    assert said(5, lambda o: lr_scheduler.CosineAnnealingLR(o, 5)) == []
    assert said(5, lambda o: lr_scheduler.ExponentialLR(o, 0.9)) == []


@pytest.mark.parametrize(
    ("settings", "steps", "first"),
    [
        ({"val_check_batch": 10}, 5, None),
        ({"val_check_batch": 10}, 4, "after 4 steps, and would be validated after 5"),
        ({"val_check_batch": 10, "check_val_every_n_epoch": 3}, 14, "after 15"),
        ({"val_check_batch": 3, "check_val_every_n_epoch": 2}, 6, "after 7"),  # 5 of the first epoch, and 4 batches
        ({"val_check_batch": 13, "check_val_every_n_epoch": None}, 6, "after 7"),
        ({"val_check_batch": None}, 1, None),  # every so many minutes
        ({"val_check_batch": 10, "enable_validation": False}, 50, "are not used: --trainer.limit_val_batches is 0"),
    ],
)
def test_best_checkpoint_that_will_not_be_written_is_said(settings: dict[str, Any], steps: int, first: str) -> None:
    trainer = SimpleNamespace(
        **{"check_val_every_n_epoch": 1, "enable_validation": True, "num_training_batches": 10, **settings},
        accumulate_grad_batches=2,
        datamodule=SimpleNamespace(validation_stage="val"),
    )
    texts = list(why_no_best(trainer, steps))
    assert [first in text for text in texts] == ([True] if first else []), texts
    trainer.datamodule.validation_stage = "test_each_epoch"
    assert list(why_no_best(trainer, steps)) == []


def test_training_without_a_logged_step_is_told() -> None:
    trainer = SimpleNamespace(loggers=["any"], log_every_n_steps=50)
    assert list(never_logged(trainer, 50)) == list(never_logged(trainer, float("inf"))) == []
    (text,) = never_logged(trainer, 8)
    assert text.startswith("the training ends after 8 steps, before one is logged")
    assert text.endswith("set --trainer.log_every_n_steps to 8 or less")


def test_training_of_days_on_a_cpu_is_told_what_is_faster() -> None:
    text = expected_end(3.2 * 86_400, 5.62, is_on_cpu=True)
    assert text.startswith("end in 3.2 days, at 5.6 s a step; evaluations are not counted. On a GPU")
    assert "--model.backbone SmallCNN" in text
    assert expected_end(3.2 * 86_400, 5.62, is_on_cpu=False).endswith("not counted")
    assert expected_end(120, 0.1, is_on_cpu=True) == "end in 2.0 minutes, at 0.1 s a step; evaluations are not counted"


def test_expected_end_is_said_once_after_20_steps_and_milestones_before_the_first(
    fit_digits: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_plan, "SAID_FROM", 0)
    fit_digits("--trainer.max_epochs", "2")
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("Expected    end in 0.")]) == 1
    (warning,) = [line for line in lines if line.startswith("Warning") and "MultiStepLR" in line]
    assert "after 2 epochs, so MultiStepLR never reaches its milestones 15, 25" in warning
    assert [line for line in lines if line.startswith("Augmented")] == ["Augmented   crop 1"]
