"""The table of measures: what each one is called, how its values read, and where it is shown.

`sbn_lightning.metrics` computes them. A new measure is a row here and the method of its name there.
"""

from dataclasses import dataclass
from typing import Literal

Place = Literal["dashboard", "batch", "summary", "report"]
"""A chart of TensorBoard's page "Custom Scalars"; the logged values of single batches, as train/batch_NAME; the text at
the end of training; the tables of `sbn report`."""


@dataclass(frozen=True)
class Measure:
    """A number that says how well a classifier does on the images of a stage.

    Every measure is in metrics.jsonl, metrics.csv, results.json and TensorBoard, as STAGE/NAME, e.g. `val/accuracy`.
    """

    name: str  # for programs: in tags and files
    title: str  # for people: in charts, tables and figures
    unit: Literal["share", "nats", "score"]  # a share is a fraction in [0, 1]
    higher_is_better: bool
    shown: tuple[Place, ...] = ()  # where it is shown as well
    short: str = ""  # instead of the title where there is little room
    text: str = ""  # an explanation for readers of a report

    @property
    def heading(self) -> str:
        """The title for narrow tables."""
        return self.short or self.title


BALANCED = "the mean over the classes of the share of their images that are right."
F1 = "the mean over the classes of the harmonic mean of precision and recall."
ECE = (
    "expected calibration error, 15 bins of equal width. Few images give even a calibrated network an error above 0: "
    "compare it with the column beside it, and heads by NLL or the Brier score."
)
BRIER = "mean over the images of the squared distance between the probabilities and the label, Σ (p − y)²; 0 to 2."
NLL = "mean cross-entropy of the logits that inference uses, no margin."

MEASURES = (
    Measure("accuracy", "Accuracy", "share", True, ("dashboard", "batch", "summary", "report")),
    Measure("top5_accuracy", "Top-5 accuracy", "share", True, ("dashboard",)),
    Measure("balanced_accuracy", "Balanced accuracy", "share", True, ("dashboard", "report"), text=BALANCED),
    Measure("macro_f1", "Macro F1", "share", True, ("dashboard", "report"), text=F1),
    Measure("loss", "Loss", "nats", False, ("dashboard", "batch")),
    Measure("calibration_error", "Expected calibration error", "share", False, ("dashboard", "report"), "ECE", ECE),
)
AFTER_TEST = (
    Measure("nll", "Mean cross-entropy", "nats", False, ("report",), "NLL", NLL),
    Measure("brier", "Brier score", "score", False, ("report",), "Brier", BRIER),
)
"""Measures of the stored logits, which the classifier does not compute."""


def shown_in(place: Place) -> list[Measure]:
    """Return the measures that are shown in a place, in the table's order."""
    return [measure for measure in (*MEASURES, *AFTER_TEST) if place in measure.shown]
