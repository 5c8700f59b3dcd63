"""What a network answers to labelled images, and how well it does by each measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from sbn_lightning.errors import UsageError, counted
from sbn_lightning.metrics import StageMetrics
from sbn_lightning.run.calibration import Floats, Labels, brier, nll
from sbn_lightning.run.measures import MEASURES
from sbn_lightning.run.metrics_log import shortest


@dataclass(frozen=True)
class Answers:
    """The logits of a network for images whose labels are known.

    Attributes:
        logits: (N, C) those that inference uses, without margin; all finite.
        labels: (N,) the class of each image.
        class_names: Of the C classes.
        loss: The mean of the head's own loss; None for the mean cross-entropy of the logits.
    """

    logits: Floats
    labels: Labels
    class_names: Sequence[str]
    loss: float | None = None

    @property
    def images(self) -> int:
        """N."""
        return len(self.labels)

    @cached_property
    def predicted(self) -> Labels:
        """(N,) the class with the largest logit."""
        return self.logits.argmax(1)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the predicted class is the label."""
        return self.predicted == self.labels

    @property
    def correct(self) -> int:
        """The number of images that are right."""
        return int(self.right.sum())

    @cached_property
    def probabilities(self) -> Floats:
        """(N, C)."""
        return np.exp(log_softmax(self.logits, axis=1))

    @property
    def confidence(self) -> Floats:
        """(N,) the probability of the predicted class."""
        return self.probabilities.max(1)

    @property
    def of_label(self) -> Floats:
        """(N,) the probability of the label."""
        return self.probabilities[np.arange(self.images), self.labels]

    def measures(self) -> dict[str, float]:
        """Return the value of each measure by its name: those of `sbn test`."""
        metrics = StageMetrics(len(self.class_names))
        entropy = nll(self.logits, self.labels)
        loss = entropy if self.loss is None else self.loss
        logits = torch.from_numpy(self.logits.astype(np.float32))
        metrics.update(torch.tensor(loss), logits, torch.from_numpy(self.labels))
        measured = metrics.compute()
        values = {measure.name: shortest(measured[measure.name].item()) for measure in MEASURES}
        return values | {"loss": loss, "nll": entropy, "brier": brier(self.logits, self.labels)}


def check_finite(logits: NDArray[np.floating], image_names: Sequence[str], checkpoint: object) -> None:
    """Raise a UsageError if a network answers NaN or infinity, so that no class has the largest logit."""
    broken = np.flatnonzero(~np.isfinite(logits).all(1))
    if len(broken):
        raise UsageError(
            f"{checkpoint} answers NaN or infinity to {counted(len(broken), 'image')} of {len(logits):,} (the first is "
            f"{image_names[broken[0]]}): its training went wrong, or its weights are damaged; evaluate an earlier "
            "checkpoint with --ckpt-path"
        )
