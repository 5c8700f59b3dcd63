"""Which test images each run has right, from the arrays that its test left."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sbn_lightning.report.runs import Run
from sbn_lightning.run.arrays import TEST_ARRAYS, read_test_arrays
from sbn_lightning.run.records import BrokenRecordError

OTHER_IMAGES = "the runs were tested on different images"


def correct_of(*groups: Sequence[Run]) -> list[NDArray[np.bool_]]:
    """Return for each group of runs whether each run has each test image right: (number of runs, number of images).

    Raises:
        BrokenRecordError: If predictions are missing or are not those of the test in the run's record, or the runs were
            tested on different images.
    """
    if len({run.data.fingerprint for runs in groups for run in runs} - {None}) > 1:
        raise BrokenRecordError(OTHER_IMAGES)
    arrays = [[read_test_arrays(run.folder, "labels", "predictions") for run in runs] for runs in groups]
    labels = arrays[0][0][0]
    if not all(np.array_equal(labels, own) for runs in arrays for own, _ in runs):
        raise BrokenRecordError(OTHER_IMAGES)
    if not all(predictions.shape == labels.shape for runs in arrays for _, predictions in runs):
        raise BrokenRecordError(f"a {TEST_ARRAYS} does not have one prediction for each image")
    correct = [np.stack([predictions == labels for _, predictions in runs]) for runs in arrays]
    for run, own in zip((run for runs in groups for run in runs), np.concatenate(correct), strict=True):
        if (int(own.sum()), own.size) != (run.test.correct, run.test.images):
            raise BrokenRecordError(
                f"{run.folder / TEST_ARRAYS} has {own.sum():,} of {own.size:,} images right, and the record of the run "
                f"{run.test.correct:,} of {run.test.images:,}: they are from different tests; sbn test writes both"
            )
    return correct
