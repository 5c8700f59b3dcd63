"""A network answers labelled images, as `sbn test` lets it."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from sbn_lightning.deploy.evaluation.answers import Answers, check_finite
from sbn_lightning.deploy.images import ImageBatch
from sbn_lightning.deploy.progress import ImageProgress
from sbn_lightning.deploy.trained import Trained
from sbn_lightning.errors import UsageError


@dataclass(frozen=True)
class Answered:
    """A network's answers, and what they are answers to.

    Attributes:
        answers: To the images that could be read.
        names: Of these images.
        errors: Name of each file that could not be read, and what is wrong with it.
    """

    answers: Answers
    names: list[str]
    errors: list[str]


def answered(trained: Trained, batches: Generator[ImageBatch, None, None], count: int, what: str) -> Answered:
    """Let a network answer labelled images, one batch after the other.

    Args:
        trained: The network.
        batches: The images, all with labels.
        count: Number of images.
        what: What is done, for the bar.

    Raises:
        UsageError: If no image can be read, or an answer is NaN or infinite.
    """
    classifier, device = trained.classifier, trained.classifier.device
    logits, labels, names, errors = [], [], [], []
    loss = 0.0
    with ImageProgress(what, count) as progress, closing(batches), torch.inference_mode():
        for number, batch in enumerate(batches):
            progress.advance(len(batch.names))
            good = torch.tensor([not error for error in batch.errors])
            errors += [f"{name} {error}" for name, error in zip(batch.names, batch.errors, strict=True) if error]
            if not good.any():
                continue
            names += [name for name, error in zip(batch.names, batch.errors, strict=True) if not error]
            labels.append(batch.labels[good])
            outputs = classifier.test_step((batch.images[good].to(device), labels[-1].to(device)), number)
            logits.append(outputs["logits"].float().cpu().numpy())
            loss += outputs["loss"].item() * len(labels[-1])
    classifier.test_metrics.reset()
    if not names:
        raise UsageError(f"none of the {len(errors):,} images can be read: {errors[0]}")
    own = np.concatenate(logits)
    check_finite(own, names, trained.checkpoint)
    answers = Answers(own.astype(np.float64), torch.cat(labels).numpy(), trained.data.class_names, loss / len(names))
    return Answered(answers, names, errors)
