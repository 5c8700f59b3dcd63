from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbn_lightning.callbacks import ChanceLevel
from sbn_lightning.callbacks.chance_level import highest_by_chance

Fit = Callable[..., Path]


def warnings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("Warning") and "guessing" in line]


def test_run_that_learns_nothing_is_warned_of_once_with_the_heads_advice(
    fit_digits: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    fit_digits(
        "--model.head", "AMSoftmaxHead", "--model.head.scale", "0.5", "--optimizer.lr", "0",
        "--trainer.max_epochs", "4", "--chance_level.epochs", "2",
    )  # fmt: skip
    (warning,) = warnings(capsys.readouterr().out)
    assert "after 2 epochs is no better than guessing, 0.1016. Scale 0.5 is small for 10 classes" in warning
    assert "--model.head.scale 4 allows 0.9" in warning


def test_run_without_a_scale_to_blame_is_told_of_its_learning_rate(
    fit_digits: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    fit_digits("--model.head", "SoftmaxHead", "--optimizer.lr", "0", "--chance_level.epochs", "1")
    (warning,) = warnings(capsys.readouterr().out)
    assert "after 1 epoch is no better" in warning
    assert "--optimizer.lr" in warning


def test_run_that_learns_is_not_warned_of(fit_digits: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit_digits("--chance_level.epochs", "1")
    assert warnings(capsys.readouterr().out) == []


def test_always_answering_with_the_largest_class_is_guessing(
    fit_digits: Fit, counted_as: Callable[[list[int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The run above, seen as if nine tenths of its images were of one class."""
    counted_as([1293] + [16] * 9)
    fit_digits("--chance_level.epochs", "1", "--trainer.max_epochs", "1")
    (warning,) = warnings(capsys.readouterr().out)
    assert "guessing, 0.8998" in warning


def test_chance_alone_stays_below_the_bound() -> None:
    right = torch.rand(2_000, 1_000, generator=torch.Generator().manual_seed(0)) < 0.1
    share_above = (right.float().mean(1) > highest_by_chance(0.1, 1_000)).float().mean().item()
    assert share_above < 0.005  # 0.00135 for a normal distribution


def test_chance_cannot_be_looked_for_before_the_first_epoch() -> None:
    with pytest.raises(ValueError, match="epochs is 0"):
        ChanceLevel(0)


def test_a_continued_training_does_not_warn_again() -> None:
    callback = ChanceLevel()
    callback._warned = True
    continued = ChanceLevel()
    continued.load_state_dict(callback.state_dict())
    assert continued._warned
