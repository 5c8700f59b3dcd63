"""The table of `sbn predict`: what a model takes each image for."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from sbn_lightning.classifier import Classifier
from sbn_lightning.deploy.images import ImageBatch
from sbn_lightning.deploy.named_files import UNKNOWN
from sbn_lightning.deploy.prediction.table import Cell, Table
from sbn_lightning.errors import counted, printable
from sbn_lightning.run.interval import interval_text
from sbn_lightning.terminal import Row

GUESSES = ("predicted", "second", "third")
SHOWN = 3
"""Files with an error that are named at the end."""


class GuessTable(Table):
    """A row for each image, with these columns:

    - `path`
    - `predicted` and `probability`, `second` and `second_probability`, `third` and `third_probability`: the most
      probable classes, as many as there are
    - `label`, and `correct`, whether the predicted class is the label: where any label is known
    - `error`: why an image could not be read; its guesses are empty then

    Args:
        file: See Table.
        class_names: Of the model.
        has_labels: Whether any label is known.
    """

    def __init__(self, file: Path, class_names: Sequence[str], has_labels: bool) -> None:
        self.class_names = class_names
        self.names = GUESSES[: len(class_names)]
        self.has_labels = has_labels
        guesses = [column for name in self.names for column in (name, probability_of(name))]
        super().__init__(file, ["path", *guesses, *["label", "correct"] * has_labels, "error"])
        self.labelled, self.correct, self.failed = 0, 0, 0
        self.first_failed: list[str] = []

    def guesses(self, classifier: Classifier, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """Return probabilities and classes of a model's guesses, both (N, min(3, C)), the most probable first."""
        logits = classifier(batch.images.to(classifier.device)).float()
        probabilities, classes = logits.softmax(1).topk(len(self.names))
        return probabilities, classes

    def write_guesses(self, batch: ImageBatch, probabilities: Tensor, classes: Tensor) -> None:
        """Append the rows of a batch, given what `guesses` says of its images."""
        labels = batch.labels.tolist()
        parts = zip(batch.names, probabilities.tolist(), classes.tolist(), labels, batch.errors, strict=True)
        rows = [self._row(*part) for part in parts]
        self.write(rows)
        if self.has_labels:
            known = [row["correct"] for row in rows if row["correct"] is not None]
            self.labelled += len(known)
            self.correct += sum(map(bool, known))
        failed = [f"{printable(str(row['path']))} {row['error']}" for row in rows if row["error"] is not None]
        self.failed += len(failed)
        self.first_failed = (self.first_failed + failed)[:SHOWN]

    def _row(
        self, name: str, probabilities: Sequence[float], classes: Sequence[int], label: int, error: str
    ) -> dict[str, Cell]:
        row: dict[str, Cell] = {"path": name}
        for guess, probability, number in zip(self.names, probabilities, classes, strict=True):
            row[guess] = None if error else self.class_names[number]
            row[probability_of(guess)] = None if error else round(probability, 6)
        if self.has_labels:
            is_known = label != UNKNOWN
            row["label"] = self.class_names[label] if is_known else None
            row["correct"] = classes[0] == label if is_known and not error else None
        return row | {"error": error or None}

    def remarks(self) -> list[Row]:
        """Say how many images were right, and how many could not be read."""
        rows = []
        if self.labelled:
            counts = f"{self.correct:,} of {counted(self.labelled, 'image')}"
            accuracy = f"{self.correct / self.labelled:.4f}"
            rows.append(("Accuracy", f"{accuracy} ({counts}; {interval_text(self.correct, self.labelled)})"))
        if self.failed:
            more = f", and {self.failed - SHOWN:,} more" if self.failed > SHOWN else ""
            files = f"{', '.join(self.first_failed)}{more}; see the column error"
            rows.append(("Errors", f"{counted(self.failed, 'image')} could not be read: {files}"))
        return rows


def probability_of(guess: str) -> str:
    """Return the name of the column of a guess's probability."""
    return "probability" if guess == GUESSES[0] else f"{guess}_probability"
