"""Answers of a network that was never trained, to images that were never taken."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.comparison import compare
from sbn_lightning.deploy.evaluation.judgement import EvaluatedOn, Evaluation, Network, judge


def made_up(images: int, classes: int, seed: int = 0, names: Sequence[str] = (), factor: float = 1.5) -> Answers:
    """Answers to the same images for each seed; classes come in groups of four that are taken for each other.

    Args:
        factor: What logits are multiplied with that would be calibrated well with about 1.
    """
    labels = np.random.default_rng(0).integers(0, classes, images)
    random = np.random.default_rng(seed + 1)
    logits = random.normal(size=(images, classes))
    logits[np.arange(images), labels] += 3
    logits[np.arange(images), np.minimum(labels // 4 * 4 + random.integers(0, 4, images), classes - 1)] += 2
    return Answers(factor * logits, labels, list(names) or [f"class {number}" for number in range(classes)])


def file_names(answers: Answers) -> list[str]:
    """A file for each image, in a folder with its label's name."""
    return [f"{answers.class_names[label]}/{row:05}.jpg" for row, label in enumerate(answers.labels)]


def evaluation(*all_answers: Answers, remarks: Sequence[str] = ()) -> Evaluation:
    """The numbers of one network or two."""
    names = file_names(all_answers[0])
    networks = [
        judge(answers, Network(f"run{number}", "", f"runs/run{number}/checkpoints/last.ckpt", "0" * 64), names)
        for number, answers in enumerate(all_answers)
    ]
    data = EvaluatedOn("made-up images", len(names), remarks=list(remarks))
    compared = compare(all_answers[0], all_answers[1], names) if len(all_answers) == 2 else None
    made = "2026-11-27T12:00:00+00:00"
    return Evaluation(1, "sbn evaluate --config runs/run0", made, {"sbn-lightning": "0.1.0"}, data, networks, compared)


def pixels(rows: Sequence[int]) -> NDArray[np.uint8]:
    """Images of 64×64 with a slope in each direction and some noise, as large as photos when they are compressed."""
    slope = np.add.outer(np.arange(64), np.arange(64))
    images = [slope + 10 * (row % 10) + np.random.default_rng(row).integers(0, 30, (3, 64, 64)) for row in rows]
    return np.stack(images).astype(np.uint8)
