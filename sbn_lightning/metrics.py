"""The measures of a classifier, computed from counts over batches; run/measures.py is their table."""

import math
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torchmetrics import Metric

from sbn_lightning.run.calibration import BINS, calibration_error_of_bins
from sbn_lightning.run.measures import MEASURES

COUNTED_AT_ONCE = 1 << 20
"""Logits that are kept until they are counted together."""
ONE = 1 << 32
"""A confidence of 1 in whole numbers, whose sums are exact in any order."""


def counts_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return what images add to the counts of StageMetrics, without waiting for the device.

    Args:
        logits: (N, C).
        labels: (N,) int64.
    """
    logits = logits.float()
    num_classes = logits.shape[1]
    predicted = logits.argmax(1)
    correct = predicted == labels
    own = logits.gather(1, labels[:, None])
    # To count the logits up to the label's is ten times as fast as to sort them. NaN is among none.
    in_top5 = (logits <= own).sum(1) > max(0, num_classes - 5)
    confidences = logits.softmax(1).amax(1)
    # Not in the default type, which is bfloat16 within a step of precision bf16-true.
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float32, device=logits.device)
    bins = torch.bucketize(confidences, edges, right=True) - 1
    index = torch.cat(
        [
            torch.add(correct, labels, alpha=4).add_(in_top5, alpha=2),
            predicted + 4 * num_classes,
            torch.add(correct, bins, alpha=2).add_(5 * num_classes),
            bins + (5 * num_classes + 2 * (BINS + 1)),
        ]
    )
    ones = torch.ones_like(predicted)
    # Not bincount: it waits for the device to learn the largest class.
    counts = ones.new_zeros(5 * num_classes + 3 * (BINS + 1))
    return counts.scatter_add_(0, index, torch.cat([ones, ones, ones, (confidences * ONE).long()]))


class StageMetrics(Metric):
    """Every measure of run.measures.MEASURES over the images of a stage, on all devices.

    Logits are kept until there are many of them, and then counted together: one by one, the small batches of small
    networks would be counted for as long as a tenth of a step takes. Each measure is a function of the counts: the
    method of its name. torchmetrics adds up the processes before `compute`.

    Attributes:
        counts: Whole numbers, (5·C + 3·(BINS + 1),): images by label and result (C, 4), where the result is the sum of
            1 if the largest logit is the label's, and 2 if the label's is among the five largest; images by the class
            of the largest logit (C,); images by bin of the confidence, which is the largest probability, and by whether
            the largest logit is the label's (BINS + 1, 2); the confidences in each bin, in parts of 1 / ONE.
        losses: The sum of the losses of all images.
    """

    full_state_update = False
    counts: Tensor
    losses: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        counts = torch.zeros(5 * num_classes + 3 * (BINS + 1), dtype=torch.int64)
        self.add_state("counts", counts, dist_reduce_fx="sum")
        self.add_state("losses", torch.zeros(()), dist_reduce_fx="sum")
        self._kept: list[tuple[Tensor, Tensor]] = []  # logits and labels that are not counted yet
        self._num_kept = 0

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch, which may not be changed in place afterwards.

        Args:
            loss: The mean of the images' losses.
            logits: (N, C), detached.
            labels: (N,) int64.
        """
        if self.losses.dtype != torch.float32:  # converted with the model, to bfloat16, which counts to 256
            self.losses = self.losses.float()
        self.losses.add_(loss.detach(), alpha=len(labels))
        self._kept.append((logits, labels))
        self._num_kept += logits.numel()
        if self._num_kept >= COUNTED_AT_ONCE:
            self._count()

    def _count(self) -> Tensor:
        """Count the logits that were kept, and return `counts`."""
        if self._kept:
            logits, labels = (torch.cat(parts) for parts in zip(*self._kept, strict=True))
            self._forget()
            self.counts.add_(counts_of(logits, labels))
        return self.counts

    def _forget(self) -> None:
        self._kept.clear()
        self._num_kept = 0

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Count what was kept, and add up the processes; torchmetrics calls it before `compute`."""
        self._count()
        super().sync(*args, **kwargs)

    def reset(self) -> None:
        super().reset()
        self._forget()

    @property
    def metric_state(self) -> dict[str, Any]:
        """The states by name, with all that was kept."""
        self._count()
        return super().metric_state

    @property
    def by_label(self) -> Tensor:
        """(C, 4), see `counts`."""
        return self._count()[: 4 * self.num_classes].view(-1, 4)

    @property
    def by_prediction(self) -> Tensor:
        """(C,), see `counts`."""
        return self._count()[4 * self.num_classes : 5 * self.num_classes]

    @property
    def by_confidence(self) -> Tensor:
        """(BINS + 1, 2), see `counts`."""
        return self._count()[5 * self.num_classes : -(BINS + 1)].view(-1, 2)

    @property
    def images(self) -> Tensor:
        """The number of images."""
        return self.by_prediction.sum()

    @property
    def correct(self) -> Tensor:
        """The number of images whose largest logit is that of their label."""
        return self.correct_by_class.sum()

    @property
    def correct_by_class(self) -> Tensor:
        """The same of each label, (C,)."""
        return self.by_label[:, 1] + self.by_label[:, 3]

    def compute(self) -> dict[str, Tensor]:
        """Return the value of each measure by its name, and the counts `images` and `correct` as integers."""
        measured = {measure.name: getattr(self, measure.name)() for measure in MEASURES}
        return measured | {"images": self.images, "correct": self.correct}

    def loss(self) -> Tensor:
        """The mean of the head's loss."""
        return self.losses / self.images

    def accuracy(self) -> Tensor:
        """The share of images whose largest logit is that of their label."""
        return self.correct / self.images

    def top5_accuracy(self) -> Tensor:
        """The share of images whose label is among the five largest logits (among all, with fewer classes)."""
        return self.by_label[:, 2:].sum() / self.images

    def balanced_accuracy(self) -> Tensor:
        """The mean, over the classes that have images, of the share of the class's images that are correct (recall)."""
        images = self.by_label.sum(1)
        return (self.correct_by_class / images.clip(1)).sum() / (images > 0).sum()

    def macro_f1(self) -> Tensor:
        """The mean, over the classes that occur as label or prediction, of F1 = 2·correct / (images + predictions)."""
        occurrences = self.by_label.sum(1) + self.by_prediction
        return (2 * self.correct_by_class / occurrences.clip(1)).sum() / (occurrences > 0).sum()

    def calibration_error(self) -> Tensor:
        """The expected calibration error, see run.calibration."""
        confidences = self._count()[-(BINS + 1) :] / ONE
        return calibration_error_of_bins(self.by_confidence.sum(1), self.by_confidence[:, 1], confidences)


def step_is_logged(trainer: Trainer, step: int, batch_idx: int | None = None) -> bool:
    """Whether the values of an optimizer step, counted from 1, are logged: every `trainer.log_every_n_steps`-th step.

    If batch_idx is given, an epoch's first batch is logged as well.
    """
    every = trainer.log_every_n_steps
    return every > 0 and (batch_idx == 0 or step % every == 0)


def is_smaller_last_batch(trainer: Trainer) -> bool:
    """Whether the current training batch is an epoch's last and holds fewer images than the others: what is logged of
    single batches leaves it out, since it would stand out in every curve. The same on all processes.

    It does not count as one where no other batch would be logged, or the loader does not say so.
    """
    loader = trainer.train_dataloader
    is_last = trainer.is_last_batch and getattr(loader, "has_smaller_last_batch", False)
    if not is_last or trainer.num_training_batches < len(loader):
        return False
    steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    return trainer.log_every_n_steps % steps != 0
