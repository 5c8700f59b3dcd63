"""The measures of a classifier, computed from sums and counts over batches; run/measures.py is their table."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torchmetrics import Metric

from sbn_lightning.run.calibration import BINS, calibration_error_of_bins
from sbn_lightning.run.measures import MEASURES


class StageMetrics(Metric):
    """Every measure of run.measures.MEASURES over the images of a stage, on all devices.

    `update` adds a batch to counts and sums, without waiting for the device. Each measure is a function of these: the
    method of its name. torchmetrics adds up the processes before `compute`.

    Attributes:
        by_label: (C, 4) number of images by label and by what became of them: 0 for neither, + 1 if the largest logit
            is that of the label, + 2 if the label is among the five largest logits.
        by_prediction: (C,) number of images by the class of their largest logit.
        by_confidence: (BINS + 1, 2) number of images by bin of confidence, their largest probability, and by whether
            they are correct.
        confidence_sum: (BINS + 1,) sum of the confidences in each bin.
        loss_sum: Sum of the images' losses.
    """

    full_state_update = False
    by_label: Tensor
    by_prediction: Tensor
    by_confidence: Tensor
    confidence_sum: Tensor
    loss_sum: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        counts = {"by_label": (num_classes, 4), "by_prediction": (num_classes,), "by_confidence": (BINS + 1, 2)}
        for name, shape in counts.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("confidence_sum", torch.zeros(BINS + 1, dtype=torch.float32), dist_reduce_fx="sum")
        self.add_state("loss_sum", torch.zeros((), dtype=torch.float32), dist_reduce_fx="sum")
        self._edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float32)[1:]

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, logits (N, C) and labels (N,)."""
        if self._edges.device != logits.device:
            self._edges = self._edges.to(logits.device)
        if self.loss_sum.dtype != torch.float32:  # converted with the model, to bfloat16, which counts to 256
            self.loss_sum, self.confidence_sum = self.loss_sum.float(), self.confidence_sum.float()
        logits = logits.float()
        predicted = logits.argmax(1)
        correct = predicted == labels
        own = logits.gather(1, labels[:, None])
        # To count the logits up to the label's is ten times as fast as to sort them. NaN is among none.
        in_top5 = (logits <= own).sum(1) > max(0, logits.shape[1] - 5)
        confidence = logits.softmax(1).amax(1)
        bins = torch.bucketize(confidence, self._edges, right=True)
        one = torch.ones_like(labels)
        # Not bincount: it waits for the device to learn the largest class.
        self.by_label.view(-1).scatter_add_(0, 4 * labels + 2 * in_top5 + correct, one)
        self.by_prediction.scatter_add_(0, predicted, one)
        self.by_confidence.view(-1).scatter_add_(0, 2 * bins + correct, one)
        self.confidence_sum.scatter_add_(0, bins, confidence)
        self.loss_sum.add_(loss, alpha=len(labels))

    def compute(self) -> dict[str, Tensor]:
        """Return the value of each measure by its name, and the counts `images` and `correct` as integers."""
        measured = {measure.name: getattr(self, measure.name)() for measure in MEASURES}
        return measured | {"images": self.by_prediction.sum(), "correct": self._correct_by_class().sum()}

    def loss(self) -> Tensor:
        """The mean of the head's loss."""
        return self.loss_sum / self.by_prediction.sum()

    def accuracy(self) -> Tensor:
        """The share of images whose largest logit is that of their label."""
        return self._correct_by_class().sum() / self.by_prediction.sum()

    def top5_accuracy(self) -> Tensor:
        """The share of images whose label is among the five largest logits (among all, with fewer classes)."""
        return self.by_label[:, 2:].sum() / self.by_prediction.sum()

    def balanced_accuracy(self) -> Tensor:
        """The mean, over the classes that have images, of the share of the class's images that are correct (recall)."""
        images = self.by_label.sum(1)
        return (self._correct_by_class() / images.clip(1)).sum() / (images > 0).sum()

    def macro_f1(self) -> Tensor:
        """The mean, over the classes that occur as label or prediction, of F1 = 2·correct / (images + predictions)."""
        occurrences = self.by_label.sum(1) + self.by_prediction
        return (2 * self._correct_by_class() / occurrences.clip(1)).sum() / (occurrences > 0).sum()

    def calibration_error(self) -> Tensor:
        """The expected calibration error, see run.calibration."""
        return calibration_error_of_bins(self.by_confidence.sum(1), self.by_confidence[:, 1], self.confidence_sum)

    def _correct_by_class(self) -> Tensor:
        return self.by_label[:, 1] + self.by_label[:, 3]


def step_is_logged(trainer: Trainer, step: int, batch_idx: int | None = None) -> bool:
    """Whether the values of an optimizer step, counted from 1, are logged: every `trainer.log_every_n_steps`-th step.

    If batch_idx is given, an epoch's first batch is logged as well.
    """
    every = trainer.log_every_n_steps
    return every > 0 and (batch_idx == 0 or step % every == 0)
