"""What runs recorded of their logits, class weights and gradients."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sbn_lightning.errors import UsageError
from sbn_lightning.figures import Histogram, Table
from sbn_lightning.report.rows import Row
from sbn_lightning.report.runs import Run
from sbn_lightning.run.arrays import read_test_arrays
from sbn_lightning.run.metrics_log import Rows, read_metrics

NORM, SHARE = "gradient/logit_norm", "gradient/share_confident"
T = TypeVar("T")
Found = TypeVar("Found")


def readable(items: Mapping[str, T], read: Callable[[T], Found]) -> tuple[dict[str, Found], str]:
    """Return {label: what was read} of each row, and a note on those that cannot be read. A UsageError if none can."""
    found: dict[str, Found] = {}
    errors: dict[str, str] = {}
    for label, item in items.items():
        try:
            found[label] = read(item)
        except UsageError as error:
            errors[label] = str(error).rstrip(".")
    if not found:
        raise UsageError("; ".join(dict.fromkeys(errors.values())))
    return found, "".join(f" Without {label}: {error}." for label, error in errors.items())


def logits_of(run: Run) -> tuple[Histogram, Histogram]:
    """All logits of the test set, and those of each image's own class."""
    names = ("logit_edges", "logit_counts", "true_class_logit_counts")
    edges, counts, of_true_class = read_test_arrays(run.folder, *names)
    return Histogram(edges, counts), Histogram(edges, of_true_class)


def norms_of(run: Run) -> list[Any]:
    """‖w‖ and ‖w′‖ of each class, and the names of the classes."""
    return read_test_arrays(run.folder, "class_weight_norm", "effective_class_weight_norm", "class_names")


def gradients_of(run: Run) -> Rows:
    """What was logged of each step, without the smaller last batches of the epochs: their values are no sign of the
    training. If only such steps were logged, all of them."""
    logged, training = read_metrics(run.folder), run.training
    steps, last = training.steps_per_epoch, training.last_batch
    if not steps or last is None or last >= run.data.batch_size:
        return logged
    return {step: row for step, row in logged.items() if (step + 1) % steps} or logged


def logged_gradients(row: Row) -> list[Rows]:
    """What the runs of a row logged, or a UsageError where this holds no gradients."""
    tables = [gradients_of(run) for run in row.finished]
    if not tags_in(tables) & {NORM, SHARE}:
        raise UsageError("no gradients were logged")
    return tables


def tags_in(tables: Sequence[Table]) -> set[str]:
    """Return the tags that have a value in one of the tables."""
    return {tag for table in tables for row in table.values() for tag, value in row.items() if value is not None}
