"""Why the accuracies of the training images and of other images may be far apart for no reason of the network's."""

from sbn_lightning.errors import counted
from sbn_lightning.run.records import FitResult

APART = 0.1
"""A difference of two accuracies that wants an explanation."""
SETTLED = 100
"""Optimizer steps after which running statistics depend no longer on where they started, at the usual momentum 0.1."""


def why_apart(result: FitResult) -> str:
    """Explain the accuracies at the end of a training that are far apart; an empty text where nothing is to be said.

    A network may know its training images much better than others; that is no matter of how they are measured, unless
    it has made very few steps.
    """
    values = {tag.partition("/")[0]: value for tag, value in result.last.items() if tag.endswith("/accuracy")}
    train, stage, steps = values.pop("train", None), next(iter(values), ""), result.step or 0
    other = values.get(stage)
    if train is None or other is None or abs(train - other) < APART or (other < train and steps >= SETTLED):
        return ""
    text = f"train/accuracy is the mean over an epoch in which the weights changed, {stage}/accuracy is that of its end"
    if steps < SETTLED:
        made = counted(steps, "step")
        text += f", with running statistics, which need about {SETTLED} steps to settle: {made} were made"
    return text
