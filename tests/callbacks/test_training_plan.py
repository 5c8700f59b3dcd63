"""What a training is told before its first step, and after twenty."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim import SGD, lr_scheduler

from sbn_lightning.callbacks import training_plan
from sbn_lightning.callbacks.training_plan import TrainingPlan, expected_end, never_logged, never_reached, why_no_best
from sbn_lightning.terminal import duration


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
        "see --lr_scheduler.milestones [18,36,54] and --trainer.max_epochs"
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
        ({"val_check_batch": 10}, 4, "after 4 steps, and the first validation would come after 5"),
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


@pytest.mark.parametrize(
    ("epochs", "milestones", "proposed"),
    [(12, (15, 25), " [6,10]"), (5, (30, 60, 90), " [1,3,4]"), (2, (15, 25), "")],
)
def test_schedule_that_never_begins_is_told_with_one_that_fits(
    epochs: int, milestones: tuple[int, ...], proposed: str
) -> None:
    (text,) = said(epochs, steps_at(*milestones))
    assert ", and the learning rate stays what it is; " in text
    assert f"; see --lr_scheduler.milestones{proposed} and --trainer.max_epochs" in text
    if proposed:
        assert said(epochs, steps_at(*json.loads(proposed))) == []


def test_training_of_days_on_a_cpu_is_told_what_is_faster() -> None:
    text = expected_end(3.2 * 86_400, 5.62, True, "ResNet18")
    assert text.startswith("to end in 3 days 5 h, at 5.6 s a step, without evaluations. A GPU")
    assert "add --config small (a small network, 30 epochs), or train fewer epochs" in text
    assert "on this CPU, train fewer epochs" in expected_end(3.2 * 86_400, 5.62, True, "SmallCNN")
    assert expected_end(3.2 * 86_400, 5.62, False, "ResNet18").endswith("without evaluations")
    assert expected_end(120, 0.1, True, "ResNet18") == "to end in 2 min, at 0.1 s a step, without evaluations"
    assert expected_end(120, 0.1, False, "ResNet18", True).startswith("to end in at most 2 min, at")


@pytest.mark.parametrize(
    ("seconds", "is_compiled", "after"),
    [(65.0, False, 1), (65.0, True, 2), (8.0, False, 2), (0.6, True, 17), (0.1, False, 21)],
)
def test_slow_training_is_told_its_end_within_ten_seconds_or_two_batches(
    seconds: float, is_compiled: bool, after: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, clock = TrainingPlan(), [1000.0]
    monkeypatch.setattr(training_plan.time, "monotonic", lambda: clock[0])
    trainer = SimpleNamespace(
        estimated_stepping_batches=1000, is_global_zero=True, fast_dev_run=True, callbacks=[],
        accumulate_grad_batches=1, global_step=0,
    )  # fmt: skip
    module = SimpleNamespace(is_compiled=is_compiled, device=torch.device("cpu"), backbone=torch.nn.Identity())
    plan.on_train_start(trainer, module)
    for batch in range(1, 30):
        clock[0] += seconds
        trainer.global_step = batch
        plan.on_train_batch_end(trainer, module, {"labels": range(16)}, None, batch - 1)
        if text := capsys.readouterr().out:
            break
    assert batch == after
    assert text.startswith(f"Expected    to end in {duration((1000 - after) * seconds)}, at {duration(seconds)} a step")


def test_expected_end_is_said_once_after_20_batches_and_milestones_before_the_first(
    fit_digits: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_plan, "SAID_FROM", 0)
    fit_digits("--trainer.max_epochs", "2")
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("Expected    to end in ")]) == 1
    (warning,) = [line for line in lines if line.startswith("Warning") and "MultiStepLR" in line]
    assert "after 2 epochs, so MultiStepLR never reaches its milestones 15, 25" in warning
    assert [line for line in lines if line.startswith("Augmented")] == ["Augmented   crop 1"]
