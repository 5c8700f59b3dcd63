"""A trained run, and what TensorBoard reads of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator


@pytest.fixture(scope="session")
def read_events() -> Callable[[Path], EventAccumulator]:
    """read_events(run): all that is in a run's event files."""

    def read(run: Path) -> EventAccumulator:
        events = EventAccumulator(str(run), size_guidance={"tensors": 0})
        events.Reload()
        return events

    return read


@pytest.fixture(scope="session")
def run(train_digits: Callable[..., Path]) -> Path:
    """Two epochs of 12 steps, the last of them of 29 images."""
    return train_digits("--trainer.log_every_n_steps=4")


@pytest.fixture(scope="session")
def events(run: Path, read_events: Callable[[Path], EventAccumulator]) -> EventAccumulator:
    return read_events(run)
