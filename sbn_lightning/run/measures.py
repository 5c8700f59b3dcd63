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
    """

    name: str
    title: str
    unit: Literal["share", "nats"]
    higher_is_better: bool
    shown: frozenset[Place] = frozenset()


MEASURES = (
    Measure("accuracy", "Accuracy", "share", True, frozenset({"dashboard", "bar", "summary", "report"})),
    Measure("top5_accuracy", "Top-5 accuracy", "share", True, frozenset({"dashboard"})),
    Measure("balanced_accuracy", "Balanced accuracy", "share", True, frozenset({"dashboard", "report"})),
    Measure("macro_f1", "Macro F1", "share", True, frozenset({"dashboard", "report"})),
    Measure("loss", "Loss", "nats", False, frozenset({"dashboard", "bar"})),
    Measure("calibration_error", "Expected calibration error", "share", False, frozenset({"dashboard", "report"})),
)


def shown_in(place: Place) -> list[Measure]:
    """Return the measures that are shown in a place, in the table's order."""
    return [measure for measure in MEASURES if place in measure.shown]
