"""When the end of a training explains accuracies that are far apart."""

import pytest

from sbn_lightning.callbacks.why_apart import why_apart
from sbn_lightning.run.records import FitResult


@pytest.mark.parametrize(
    ("train", "test", "steps", "explained"),
    [
        (0.42, 0.18, 16, "running statistics, which need about 100 steps to settle: 16 steps were made"),
        (0.55, 0.95, 1000, "the mean over an epoch in which the weights changed, test_each_epoch/accuracy is that of"),
        (0.97, 0.58, 1000, None),  # it knows its training images
        (0.97, 0.93, 16, None),
    ],
)
def test_accuracies_far_apart_are_explained_unless_the_network_is_the_reason(
    train: float, test: float, steps: int, explained: str | None
) -> None:
    last = {"train/accuracy": train, "train/loss": 1.0, "test_each_epoch/accuracy": test}
    text = why_apart(FitResult(1.0, 1, last, step=steps))
    assert explained in text if explained else text == ""


def test_training_without_a_validation_has_nothing_to_explain() -> None:
    assert why_apart(FitResult(1.0, 1, {"train/accuracy": 0.1}, step=3)) == ""
