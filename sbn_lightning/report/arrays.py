"""What a run's test left as arrays: logits' histograms, weights' norms, labels and predictions."""

import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_lightning.report.runs import Run
from sbn_lightning.run.records import BrokenRecordError

TEST_ARRAYS = "test.npz"


def arrays_of(run: Run, *names: str) -> list[NDArray[Any]]:
    """Return arrays of a run's test.npz, of which only these are read, or raise a BrokenRecordError."""
    file = run.folder / TEST_ARRAYS
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return [archive[name] for name in names]
    except FileNotFoundError as error:
        raise BrokenRecordError(f"{run.name} has no {TEST_ARRAYS}; sbn test writes it") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BrokenRecordError(f"{file} cannot be read: {error}") from error


def correct_of(*groups: Sequence[Run]) -> list[NDArray[np.bool_]]:
    """Return for each group of runs whether each run has each test image right: (number of runs, number of images).

    Raises:
        BrokenRecordError: If predictions are missing, or the runs were tested on different images.
    """
    arrays = [[arrays_of(run, "labels", "predictions") for run in runs] for runs in groups]
    labels = arrays[0][0][0]
    if not all(np.array_equal(labels, own) for runs in arrays for own, _ in runs):
        raise BrokenRecordError("the runs were tested on different images")
    if not all(predictions.shape == labels.shape for runs in arrays for _, predictions in runs):
        raise BrokenRecordError(f"a {TEST_ARRAYS} does not have one prediction for each image")
    return [np.stack([predictions == labels for _, predictions in runs]) for runs in arrays]
