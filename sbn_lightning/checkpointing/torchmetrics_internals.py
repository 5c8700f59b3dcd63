"""The one private part of torchmetrics that is relied on; tests/checkpointing/test_internals.py watches it."""

from typing import Any

from torchmetrics import Metric


def continue_metric(metric: Metric, values: dict[str, Any], updates: int) -> None:
    """Give a metric the state of another one of its kind.

    torchmetrics counts the updates in `_update_count`, and a metric of count 0 says that it has measured nothing. Its
    `state_dict` leaves the count out, and `update_count` can only be read.

    Args:
        values: The metric's state by name, as in `metric.metric_state`.
        updates: Number of updates that led to it.
    """
    for name, value in values.items():
        setattr(metric, name, value)
    metric._update_count = updates
