"""How long the rest takes, from times that the tests make up."""

import math
from datetime import timedelta
from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import Timer

from sbn_lightning.callbacks.pace import Pace, batches_left, epochs_in_all, time_limit


def test_first_batch_counts_only_until_there_is_another() -> None:
    pace = Pace(100.0)
    assert pace.seconds_for(10) is None
    pace.batch_ended(130.0)
    assert pace.seconds_for(10) == 300.0
    pace.batch_ended(132.0)
    pace.batch_ended(134.0)
    assert pace.seconds_for(10) == 20.0


def test_what_is_not_training_counts_by_epochs() -> None:
    pace, now = Pace(0.0), 0.0
    for _ in range(2):  # epochs of 3 batches of 2 s, a validation of 4 s after the second, and 6 s after the last
        pace.epoch_starts(now)
        for batch in range(3):
            pace.batch_ended(now := now + 2)
            if batch == 1:
                pace.stop(now)
                pace.go_on(now := now + 4)
        pace.stop(now)
        now += 6
    pace.epoch_starts(now)
    assert pace.seconds_per_batch == 2.0
    assert pace.seconds_for(9, epochs=3) == 9 * 2 + 3 * (4 + 6)


def test_mean_follows_a_machine_that_becomes_slower() -> None:
    pace, now = Pace(0.0), 0.0
    for seconds in (1, 1, 3, 3):
        pace.epoch_starts(now)
        for _ in range(4):
            pace.batch_ended(now := now + seconds)
    assert pace.seconds_per_batch == 3.0


def trainer(**settings: object) -> SimpleNamespace:
    """A trainer of 10 batches an epoch, in its third epoch."""
    defaults = {"max_epochs": 5, "max_steps": -1, "accumulate_grad_batches": 1, "global_step": 20, "current_epoch": 2}
    return SimpleNamespace(num_training_batches=10, **({"callbacks": []} | defaults | settings))


@pytest.mark.parametrize(
    ("settings", "done", "last", "left"),
    [
        ({}, 0, 5, 30),
        ({}, 4, 5, 26),
        ({"max_epochs": -1}, 0, None, math.inf),
        ({"max_epochs": -1, "max_steps": 33}, 0, 4, 13),
        ({"max_steps": 99}, 0, 5, 30),
        ({"max_steps": 27, "global_step": 24}, 4, 3, 3),  # continued in the middle of the epoch
        ({"max_steps": 11, "global_step": 9, "accumulate_grad_batches": 4}, 4, 3, 6),  # 3 steps an epoch
        ({"max_steps": 20}, 0, 2, 0),
    ],
)
def test_end_is_that_of_max_epochs_or_max_steps(
    settings: dict[str, int], done: int, last: int | None, left: float
) -> None:
    assert (epochs_in_all(trainer(**settings), done), batches_left(trainer(**settings), done)) == (last, left)


def test_time_limit_is_that_of_max_time() -> None:
    assert time_limit(trainer()) == math.inf
    assert time_limit(trainer(callbacks=[Timer(timedelta(minutes=1))])) == 60.0
