"""The page on one network's answers: the verdict first, then what stands behind it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.calibration import Calibration, percent, verdict
from sbn_lightning.deploy.evaluation.drawings import picture_of_coverage, picture_of_reliability
from sbn_lightning.deploy.evaluation.gallery import LONGEST_NAME as LONGEST_BELOW
from sbn_lightning.deploy.evaluation.gallery import Shown, data_uri, file_line
from sbn_lightning.deploy.evaluation.judgement import Evaluation, Judged
from sbn_lightning.deploy.evaluation.matrix import matrix_block
from sbn_lightning.deploy.evaluation.tables import class_table, left_table, measure_table, pair_table
from sbn_lightning.errors import counted
from sbn_lightning.figures.style import shortened
from sbn_lightning.report.render import Block, Bullets, Fold, Gallery, Photo, Text
from sbn_lightning.run.interval import interval_text

LONGEST_NAME = 40
"""Characters of a name within a sentence."""

Pixels = Callable[[Sequence[int]], NDArray[np.uint8]]
"""Places among the images that were answered -> images (n, 3, H, W), as a network saw them."""


def page_of_one(evaluation: Evaluation, answers: Answers, pixels: Pixels) -> list[Block]:
    """Everything about one network.

    Args:
        evaluation: The numbers.
        answers: What they are of.
        pixels: Gives the images.
    """
    (judged,) = evaluation.networks
    title = f"{judged.network.name} on {evaluation.data.name}"
    return [
        Text("title", title),
        Text("lead", summary(judged)),
        *remarks(evaluation),
        Text("section", "Measures"),
        measure_table(evaluation.networks),
        Text("section", "Can its probabilities be believed?"),
        *belief(evaluation.networks),
        Text("section", "If a person takes the unsure images"),
        *for_a_person(evaluation.networks),
        Text("section", "What it confuses"),
        *confusions(judged, answers),
        Text("section", "Classes"),
        class_table(judged),
        Text("section", "Pictures"),
        *pictures(judged, pixels),
        *origin(evaluation),
    ]


def summary(judged: Judged) -> str:
    """The verdict on a network in a few sentences."""
    sentences = [accuracy_sentence(judged), confusion_sentence(judged), verdict(judged.calibration, judged.accuracy)]
    return " ".join(filter(None, sentences))


def accuracy_sentence(judged: Judged) -> str:
    """E.g. It has 9,134 of 10,000 images right: 91.34 % (95 %: 90.8 to 91.9 %)."""
    share = f"{100 * judged.accuracy:.2f}".rstrip("0").rstrip(".")
    counts = f"{judged.correct:,} of {counted(judged.images, 'image')}"
    return f"It has {counts} right: {share} % ({interval_text(judged.correct, judged.images)})."


def confusion_sentence(judged: Judged) -> str:
    """Which two classes are taken for each other most often."""
    if not judged.confused_pairs:
        return ""
    pair = judged.confused_pairs[0]
    first, second = shortened([pair.first, pair.second], LONGEST_NAME)
    alike = sum(one.confused == pair.confused for one in judged.confused_pairs)
    also = f", as often as {counted(alike - 1, 'other pair')}" if alike > 1 else ""
    what = f"{first} and {second} for each other" if pair.second_as_first else f"{first} for {second}"
    return f"It takes {what} most often ({counted(pair.confused, 'image')}{also})."


def remarks(evaluation: Evaluation) -> list[Block]:
    """A warning for each remark on the images."""
    return [Text("warning", text) for text in evaluation.data.remarks]


def belief(networks: Sequence[Judged]) -> list[Block]:
    """Reliability diagrams and calibration errors, with an explanation below."""
    names = [f"{judged.network.name}: " if len(networks) > 1 else "" for judged in networks]
    found = [judged.calibration for judged in networks]
    errors = Bullets([(name, error_sentence(one)) for name, one in zip(names, found, strict=True)])
    diagrams = [picture_of_reliability(judged, number, len(networks) == 1) for number, judged in enumerate(networks)]
    meaning = (
        "The answers are put into 15 groups by their probability. In each group, the probability is compared with the "
        "share of right answers, and the mean distance is the error. By chance even exact probabilities show one; in "
        "95 of 100 cases it is below the value that is given."
    )
    temperature = (
        "A number that the network's logits, its outputs before softmax, are divided by. One above 1 makes the network "
        "less sure; its answers stay the same. sbn export --temperature calibrated puts one into a file."
    )
    fitting = [(f"{name}Fitting:", fitting_sentence(one)) for name, one in zip(names, found, strict=True)]
    meanings = Bullets([("Calibration error (ECE):", meaning), ("Temperature:", temperature), *fitting])
    return [errors, *diagrams, Fold("What these numbers mean", [meanings])]


def error_sentence(found: Calibration) -> str:
    """The calibration error, what exact probabilities would show, and what a temperature gives."""
    before, after = found.before, found.after
    error, highest = percent(before.calibration_error), percent(before.if_calibrated.highest)
    text = f"The calibration error is {error}; by chance, exact probabilities would show up to {highest}."
    if after is None:
        return f"{text} No temperature is the best one."
    return (
        f"{text} With a temperature of {found.temperature:.2f}, it is {percent(after.calibration_error)}, and the mean "
        f"cross-entropy is {after.nll:.4f} instead of {before.nll:.4f}."
    )


def fitting_sentence(found: Calibration) -> str:
    """On which images the temperature was fitted."""
    if found.after is None:
        return (
            "where all images are right, a smaller temperature is always better, and where the logits tell nothing, a "
            "larger one."
        )
    if found.fitted_on == "of held-out images":
        return "the temperature was fitted on the run's held-out images."
    low, high = min(found.temperatures), max(found.temperatures)
    return (
        f"no other images were held out for it. The images of this page are divided into {len(found.temperatures)} "
        f"parts, and each has a temperature that was fitted on the others, {low:.3f} to {high:.3f} (cross-fitting)."
    )


def for_a_person(networks: Sequence[Judged]) -> list[Block]:
    """The risk–coverage curve and its table."""
    texts = [
        (
            f"{judged.network.name}:" if len(networks) > 1 else "",
            f"The area under the risk–coverage curve, the mean error over all shares, is {judged.coverage.area:.4f}. "
            f"It would be {judged.coverage.best_area:.4f} if the network were less sure of each mistake than of any "
            f"right answer, and {judged.coverage.worst_area:.4f} if its probabilities told nothing of mistakes.",
        )
        for judged in networks
    ]
    return [left_table(networks), Bullets(texts), picture_of_coverage(networks)]


def confusions(judged: Judged, answers: Answers) -> list[Block]:
    """The most confused pairs, and the whole matrix."""
    if not judged.confused_pairs:
        return [Text("paragraph", "No image is taken for another class.")]
    return [*pair_table(judged), matrix_block(answers, "Confusion matrix")]


def pictures(judged: Judged, pixels: Pixels) -> list[Block]:
    """The most confident mistakes and the least confident hits."""
    mistakes, hits = judged.confident_mistakes, judged.unsure_hits
    wrong = judged.images - judged.correct
    blocks: list[Block] = []
    if mistakes:
        text = f"Of {counted(wrong, 'mistake')}, the {len(mistakes)} of largest probability. Some labels may be wrong."
        blocks += [Text("subsection", "Most confident mistakes"), Text("paragraph", text), gallery(mistakes, pixels)]
    if hits:
        text = f"Of {counted(judged.correct, 'right answer')}, the {len(hits)} of smallest probability."
        blocks += [Text("subsection", "Least confident right answers"), Text("paragraph", text), gallery(hits, pixels)]
    return blocks


def gallery(images: Sequence[Shown], pixels: Pixels) -> Gallery:
    """Pictures with file name, label and prediction."""
    photos = [
        Photo(data_uri(one), answer_lines(shown))
        for shown, one in zip(images, pixels([shown.row for shown in images]), strict=True)
    ]
    return Gallery(photos)


def answer_lines(shown: Shown) -> list[str]:
    """The lines below a picture."""
    label, taken = shortened([shown.label, shown.predicted], LONGEST_BELOW)
    answer = f"{label} → {taken}" if shown.label != shown.predicted else label
    return [file_line(shown.image), answer, f"{100 * shown.probability:.2f} % sure"]


def origin(evaluation: Evaluation) -> list[Block]:
    """What made the page, and of what."""
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.versions.items())
    checkpoints = [
        (f"{network.name}:", ", ".join(filter(None, [network.model, network.checkpoint, f"SHA-256 {network.sha256}"])))
        for network in (judged.network for judged in evaluation.networks)
    ]
    text = (
        f"Made at {evaluation.made} with {versions}, from {counted(evaluation.data.images, 'image')}. evaluation.json "
        "beside this page has all of its numbers. The command:"
    )
    return [
        Fold(
            "How this page was made",
            [Bullets(checkpoints), Text("paragraph", text), Text("listing", evaluation.command)],
        )
    ]
