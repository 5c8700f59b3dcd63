"""A network answers labelled images, as `sbn test` lets it."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sbn_lightning.classifier import Classifier
from sbn_lightning.deploy.evaluation.answers import Answers, check_finite
from sbn_lightning.deploy.images import ImageBatch, ReadBatch
from sbn_lightning.deploy.inference import computed
from sbn_lightning.deploy.progress import ImageProgress
from sbn_lightning.deploy.trained import Trained
from sbn_lightning.errors import UsageError


@dataclass(frozen=True)
class Answered:
    """A network's answers to images, and the names of these images.

    Attributes:
        answers: To the images that could be read.
        names: Of these images.
        errors: Name of each file that could not be read, and what is wrong with it.
    """

    answers: Answers
    names: list[str]
    errors: list[str]


def answers_to(trained: Trained, batches: Iterable[ReadBatch], count: int, what: str) -> Answered:
    """Let a network answer labelled images.

    Args:
        trained: The network.
        batches: Functions that read a batch each; all images have labels.
        count: Number of images.
        what: What is done, for the bar.

    Raises:
        UsageError: If no image can be read, or an answer is NaN or infinite.
    """
    logits, labels, names, errors = [], [], [], []
    loss = 0.0
    found = computed(trained.classifier, batches, loss_and_logits)
    with ImageProgress(what, count) as progress, closing(found):
        for batch, answer in found:
            progress.advance(len(batch.names))
            errors += [f"{name} {error}" for name, error in zip(batch.names, batch.errors, strict=True) if error]
            names += [name for name, error in zip(batch.names, batch.errors, strict=True) if not error]
            if answer:
                own_loss, own_logits = answer
                labels.append(batch.labels[can_be_used(batch)])
                logits.append(own_logits.float().numpy())
                loss += own_loss.item() * len(own_logits)
    if not names:
        raise UsageError(f"none of the {len(errors):,} images can be read: {errors[0]}")
    own = np.concatenate(logits)
    check_finite(own, names, trained.checkpoint)
    answers = Answers(own.astype(np.float64), torch.cat(labels).numpy(), trained.data.class_names, loss / len(names))
    return Answered(answers, names, errors)


def loss_and_logits(classifier: Classifier, batch: ImageBatch) -> tuple[Tensor, ...]:
    """Return the head's loss and the logits (n, C) of the n images that can be used; nothing if there are none."""
    good = can_be_used(batch)
    if not good.any():
        return ()
    device = classifier.device
    return classifier.evaluated(batch.images[good].to(device), batch.labels[good].to(device))


def can_be_used(batch: ImageBatch) -> Tensor:
    """Return which images (N,) have no error."""
    return torch.tensor([not error for error in batch.errors])
