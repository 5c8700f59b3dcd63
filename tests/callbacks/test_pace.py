"""How long the rest takes, from times that the tests make up."""

import math
from datetime import timedelta
from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import Timer

from sbn_lightning.callbacks.pace import Pace, batches_left, epochs_in_all, time_limit

SIZE = 16


def test_first_batch_of_each_size_does_not_count() -> None:
    pace = Pace(100.0)
    pace.batch_ended(130.0, SIZE)  # compiled for 30 s
    assert pace.left(130.0, 10) is None
    pace.batch_ended(132.0, SIZE)
    assert pace.left(132.0, 10) == 20.0
    pace.batch_ended(150.0, SIZE - 1)  # the last batch of the epoch, compiled for 18 s
    assert pace.left(150.0, 10) == 20.0
    pace.epoch_starts(150.0)
    pace.batch_ended(152.0, SIZE)
    pace.batch_ended(154.0, SIZE - 1)
    assert pace.left(154.0, 10) == 20.0


def test_time_is_not_known_while_a_batch_takes_far_too_long() -> None:
    pace = Pace(0.0)
    pace.batch_ended(1.0, SIZE)
    pace.batch_ended(3.0, SIZE)
    assert [pace.left(now, 3) for now in (3.0, 4.0, 5.0, 8.0, 8.1)] == [6.0, 5.0, 4.0, 4.0, None]
    pace.batch_ended(9.0, SIZE)
    assert pace.left(9.0, 2) == 8.0


def test_what_is_not_training_counts_by_epochs() -> None:
    pace, now = Pace(0.0), 0.0
    for _ in range(2):  # epochs of 3 batches of 2 s, a validation of 4 s after the second, and 6 s after the last
        pace.epoch_starts(now)
        for batch in range(3):
            pace.batch_ended(now := now + 2, SIZE)
            if batch == 1:
                pace.stop(now)
                pace.go_on(now := now + 4)
        pace.stop(now)
        now += 6
    pace.epoch_starts(now)
    assert pace.seconds_per_batch == 2.0
    assert pace.left(now, 9, epochs=3) == 9 * 2 + 3 * (4 + 6)


def test_time_left_is_less_by_what_a_validation_has_taken_but_by_no_more_than_was_expected() -> None:
    pace, now = Pace(0.0), 0.0
    for other in (30, 5):  # the first validation is compiled
        pace.epoch_starts(now)
        for _ in range(3):
            pace.batch_ended(now := now + 2, SIZE)
        pace.stop(now)
        assert pace.left(now + 1, 0, epochs=1) == (0.0 if other == 30 else 29.0)
        now += other
    pace.epoch_starts(now)
    assert pace.other_per_epoch == 5.0
    pace.stop(now)
    assert [pace.left(now + spent, 3, epochs=2) for spent in (0, 2, 5, 50)] == [16.0, 14.0, 11.0, 11.0]


def test_mean_follows_a_machine_that_becomes_slower() -> None:
    pace, now = Pace(0.0), 0.0
    for seconds in (1, 1, 3, 3):
        pace.epoch_starts(now)
        for _ in range(4):
            pace.batch_ended(now := now + seconds, SIZE)
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
