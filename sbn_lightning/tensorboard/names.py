"""How TensorBoard shows what a training logs: the table of tags, with the name, title and description of each.

TensorBoard puts what has the same name up to the first slash into a group, and sorts the groups by their names, numbers
by their size. The groups are numbered in the order of `GROUPS`, so that accuracy and loss come first. Whatever is not
in the table is shown as it is, after them. Files and monitors keep the tags.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sbn_lightning.run.measures import MEASURES

Charts = Mapping[str, Mapping[str, tuple[str, list[str]]]]
"""{category: {chart's title: (type, tags)}} of the page "Custom Scalars". The tags of a "Multiline" chart are regular
expressions, matched from the tag's start (so end them with $); those of a "Margin" chart are the line, its lower and
its upper bound."""

MINUTES = "time/minutes"


@dataclass(frozen=True)
class Shown:
    """How TensorBoard shows what is logged under one tag."""

    name: str  # takes the place of the tag
    title: str  # of its cards, on pages that show one
    description: str


STAGES = {
    "train": ("training images", "Training images, over an epoch in which the network changes, in training mode."),
    "val": ("held-out images", "Held-out images, after each epoch; best.ckpt is of the epoch with the best accuracy."),
    "test_each_epoch": ("test set", "The test set, watched after each epoch; nothing is chosen by it."),
}
"""{stage: (for titles, for descriptions)}"""
MEANINGS = {
    "accuracy": "the share of images whose largest logit is that of their label.",
    "top5_accuracy": "the share of images whose label is among the five largest logits.",
    "loss": "the mean of the head's own loss, margins and penalties included: not comparable between heads.",
    "calibration_error": "how far confidence and accuracy differ, in 15 bins of equal width. Few images give even a "
    "calibrated network an error above 0.",
}
"""Explanations of measures whose text for reports is missing, or speaks of a report's table."""
BATCH = (
    "One point in every trainer.log_every_n_steps steps: the batch of that step. The smaller last batch of an epoch is "
    "left out."
)
EPOCH = "One point an epoch."
EVALUATED = "One point an epoch: the logits of the test set or the held-out images."
BINS = "Read off the bins of the histogram."
AS_TRAINED = "‖w‖, Euclidean norm of the weights of a class, as trained."
AS_USED = (
    "‖w′‖, the same with the head's normalization folded in, as inference uses them; comparable between heads. A head "
    "that computes cosines takes features of length 1: there, it is the scale."
)
ONE_OF_EACH = "The axes are the same for every run"
PICTURES: dict[str, tuple[str, str]] = {
    "figure2/logits": (
        "Figure 2, logits",
        f"{ONE_OF_EACH} on as many classes; heights are relative to the highest bar of each panel.",
    ),
    "figure3/class_weight_norm": (
        "Figure 3, class weights",
        f"The first classes; dashed: the mean of all. {ONE_OF_EACH} unless a norm does not fit in.",
    ),
    "pictures/confusion": (
        "confusion matrix",
        "Which classes are taken for which, at the end of training, on the test set or the held-out images.",
    ),
    "pictures/mistakes": (
        "most confident mistakes",
        "Wrong predictions with the largest probability, at the end of training, on the same images.",
    ),
    "pictures/training_batch": (
        "training batch",
        "Images of the first training batch as the model gets them, cropped and mirrored.",
    ),
}
TEXTS: dict[str, dict[str, tuple[str, str]]] = {
    "Logits": {
        "logits/all": ("all", f"All logits, one for each image and class. {EVALUATED}"),
        "logits/true_class": ("true class", f"The logit of each image's own class. {EVALUATED}"),
        "logits/mean": ("mean", f"Mean of all logits. {EVALUATED}"),
        "logits/std": ("standard deviation", f"Standard deviation of all logits. {EVALUATED}"),
        **{
            f"logits/{tag}_p{percent:02}": (
                f"{name}, {percent} %",
                f"{percent} % of {what} are smaller. {EVALUATED} {BINS}",
            )
            for tag, name, what in (
                ("all", "all", "all logits"),
                ("true_class", "true class", "the logits of the images' own classes"),
            )
            for percent in (5, 50, 95)
        },
    },
    "Class weights": {
        f"class_weight/{tag}{suffix}": (f"{name}{which}", f"{description} {of} {EPOCH}")
        for tag, name, description in (
            ("norm", "norm as trained", AS_TRAINED),
            ("effective_norm", "norm as used", AS_USED),
        )
        for suffix, which, of in (
            ("", "", "Of all classes."),
            ("_mean", ", mean", "Mean over the classes."),
            ("_min", ", smallest", "Smallest of all classes."),
            ("_max", ", largest", "Largest of all classes."),
        )
    },
    "Gradient": {
        "gradient/logit_norm": (
            "at the logits",
            "Mean over the images of ‖p − y‖, in [0, √2]: what cross-entropy still sends back (eqs. 5–8) to the logits "
            f"that inference uses. A head with a margin, or LogitNorm, trains on other logits. {BATCH}",
        ),
        "gradient/share_confident": (
            "share of confident images",
            f"Share of the images with a probability above 0.99 for their own class: they hardly teach. {BATCH}",
        ),
        "gradient/head_norm": ("of the head", f"Euclidean norm of the head's whole gradient, before clipping. {BATCH}"),
    },
    "One training batch": {
        "train/batch_loss": ("loss", f"The loss of one training batch. {BATCH}"),
        "train/batch_accuracy": ("accuracy", f"The accuracy on one training batch. {BATCH}"),
    },
    "Time": {
        MINUTES: ("minutes", "Minutes that the training took, of all starts together. One point, at its end."),
    },
}
"""{group: {tag: (name within the group, description)}}"""
RATES = "lr-"
"""What the tags of LearningRateMonitor begin with."""
RATES_TEXT = "The learning rate of the optimizer. Smoothing makes steps of its schedule look like slopes: set it to 0."

FIRST = ("accuracy", "loss", "calibration_error")
IN_ORDER = sorted(MEASURES, key=lambda measure: (*FIRST, measure.name).index(measure.name))
GROUPS = [*(measure.title for measure in IN_ORDER), "Pictures", "Logits", "Class weights", "Gradient", "Learning rate"]
GROUPS += ["One training batch", "Time"]


def numbered(group: str) -> str:
    """The name of a group, which makes TensorBoard sort it."""
    return f"{GROUPS.index(group) + 1} {group}"


def table() -> dict[str, Shown]:
    """Return what is shown of each tag, except for the learning rates."""
    rows = {
        f"{stage}/{measure.name}": Shown(
            f"{numbered(measure.title)}/{stage}",
            f"{measure.title}, {images}",
            f"{measure.title}: {MEANINGS.get(measure.name) or measure.text or 'see metrics.py.'} {seen}",
        )
        for measure in IN_ORDER
        for stage, (images, seen) in STAGES.items()
    }
    for group, texts in TEXTS.items():
        for tag, (name, description) in texts.items():
            rows[tag] = Shown(f"{numbered(group)}/{name}", f"{group}: {name}", description)
    for tag, (name, description) in PICTURES.items():
        rows[tag] = Shown(f"{numbered('Pictures')}/{name}", name[0].upper() + name[1:], description)
    return rows


TABLE = table()


def shown(tag: str) -> Shown | None:
    """Return how TensorBoard shows what is logged under a tag; None for a tag that it shows as it is."""
    if tag.startswith(RATES):
        optimizer = tag.removeprefix(RATES)
        return Shown(f"{numbered('Learning rate')}/{optimizer}", f"Learning rate: {optimizer}", RATES_TEXT)
    return TABLE.get(tag)


def layout_as_shown(layout: Charts) -> Charts:
    """Return a layout of the page "Custom Scalars" with the names that are shown in place of the tags."""
    return {
        category: {
            title: (kind, [name for tag in tags for name in names_in_chart(kind, tag)])
            for title, (kind, tags) in charts.items()
        }
        for category, charts in layout.items()
    }


def names_in_chart(kind: str, tag: str) -> list[str]:
    """Return the names in place of one tag of a chart, or the tag if it is of nothing in the table."""
    if kind == "Margin":
        return [TABLE[tag].name if tag in TABLE else tag]
    names = [f"^{re.escape(row.name)}$" for known, row in TABLE.items() if re.match(tag, known)]
    if re.match(tag, RATES):
        names.append(f"^{numbered('Learning rate')}/")
    return names or [tag]
