"""The table of measures: what each one is called, how its values read, and where it is shown.

`sbn_lightning.metrics` computes them. A new measure is a row here and the method of its name there.
"""

from dataclasses import dataclass
from typing import Literal

Place = Literal["dashboard", "bar", "summary", "report"]


@dataclass(frozen=True)
class Measure:
    """A number that says how well a classifier does on the images of a stage.

    Every measure is in metrics.jsonl, metrics.csv, results.json and TensorBoard, as STAGE/NAME, e.g. `val/accuracy`.

    Attributes:
        name: For programs: in tags and files.
        title: For people: in charts, tables and figures.
        unit: "share" is a fraction in [0, 1].
        higher_is_better: The direction.
        shown: Where it is shown as well: "dashboard" (a chart of TensorBoard's page "Custom Scalars"), "bar" (the
            progress bar, as train/batch_NAME of the last logged batch), "summary" (the text at the end of training) and
            "report" (the tables of `sbn report`).
        short: Instead of the title where there is little room.
        text: An explanation for readers of a report.
    """

    name: str
    title: str
    unit: Literal["share", "nats"]
    higher_is_better: bool
    shown: frozenset[Place] = frozenset()
    short: str = ""
    text: str = ""

    @property
    def heading(self) -> str:
        """The title for narrow tables."""
        return self.short or self.title


MEASURES = (
    Measure("accuracy", "Accuracy", "share", True, frozenset({"dashboard", "bar", "summary", "report"})),
    Measure("top5_accuracy", "Top-5 accuracy", "share", True, frozenset({"dashboard"})),
    Measure(
        "balanced_accuracy",
        "Balanced accuracy",
        "share",
        True,
        frozenset({"dashboard", "report"}),
        text="the mean over the classes of the share of their images that are right.",
    ),
    Measure(
        "macro_f1",
        "Macro F1",
        "share",
        True,
        frozenset({"dashboard", "report"}),
        text="the mean over the classes of the harmonic mean of precision and recall.",
    ),
    Measure("loss", "Loss", "nats", False, frozenset({"dashboard", "bar"})),
    Measure(
        "calibration_error",
        "Expected calibration error",
        "share",
        False,
        frozenset({"dashboard", "report"}),
        short="ECE",
        text="expected calibration error, 15 bins of equal width.",
    ),
)
AFTER_TEST = (
    Measure(
        "nll",
        "Mean cross-entropy",
        "nats",
        False,
        frozenset({"report"}),
        short="NLL",
        text="mean cross-entropy of the logits that inference uses, no margin.",
    ),
)
"""Measures of the stored logits, which the classifier does not compute."""


def shown_in(place: Place) -> list[Measure]:
    """Return the measures that are shown in a place, in the table's order."""
    return [measure for measure in (*MEASURES, *AFTER_TEST) if place in measure.shown]
