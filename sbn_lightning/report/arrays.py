"""Which test images each run has right, from the arrays that its test left."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sbn_lightning.report.runs import Run
from sbn_lightning.run.arrays import TEST_ARRAYS, read_test_arrays
from sbn_lightning.run.records import BrokenRecordError


def correct_of(*groups: Sequence[Run]) -> list[NDArray[np.bool_]]:
    """Return for each group of runs whether each run has each test image right: (number of runs, number of images).

    Raises:
        BrokenRecordError: If predictions are missing, or the runs were tested on different images.
    """
    arrays = [[read_test_arrays(run.folder, "labels", "predictions") for run in runs] for runs in groups]
    labels = arrays[0][0][0]
    if not all(np.array_equal(labels, own) for runs in arrays for own, _ in runs):
        raise BrokenRecordError("the runs were tested on different images")
    if not all(predictions.shape == labels.shape for runs in arrays for _, predictions in runs):
        raise BrokenRecordError(f"a {TEST_ARRAYS} does not have one prediction for each image")
    return [np.stack([predictions == labels for _, predictions in runs]) for runs in arrays]
