from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import results, write_test_arrays

from sbn_lightning.run.arrays import OF_EACH, TEST_ARRAYS, read_test_arrays
from sbn_lightning.run.records import BrokenRecordError


def test_arrays_of_a_test_are_read(tmp_path: Path) -> None:
    write_test_arrays(tmp_path, results(70))
    logits, labels = read_test_arrays(tmp_path, "logits", "labels")
    assert (logits.shape, labels.shape) == ((1000, 10), (1000,))
    assert len(read_test_arrays(tmp_path, *OF_EACH)) == len(OF_EACH)


CHANGES: dict[str, tuple[str, Callable[[np.ndarray], object], str]] = {
    "a text": ("labels", lambda array: array.astype(str), "it is of type <U11"),
    "a single number": ("labels", lambda array: array[0], "and shape ()"),
    "too few": ("predictions", lambda array: array[1:], "it is of 999 images, others are of 1,000"),
    "none": ("logits", lambda array: array[:0], "and shape (0, 10)"),
    "edges of other bins": ("logit_edges", lambda array: array[1:], "600 edges do not bound 600 bins"),
    "not a number": ("class_weight_norm", lambda array: array * np.nan, "it holds NaN or infinity"),
    "too large": ("logits", lambda array: np.zeros((2**19, 2**10 + 1), np.float16), "it is larger than"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_array_of_another_kind_is_named(what: str, tmp_path: Path) -> None:
    name, change, problem = CHANGES[what]
    write_test_arrays(tmp_path, results(70))
    with np.load(tmp_path / TEST_ARRAYS) as archive:
        arrays = dict(archive)
    np.savez_compressed(tmp_path / TEST_ARRAYS, allow_pickle=False, **(arrays | {name: change(arrays[name])}))
    with pytest.raises(BrokenRecordError) as refused:
        read_test_arrays(tmp_path, *OF_EACH)
    assert f"{TEST_ARRAYS} cannot be read: " in str(refused.value)
    assert problem in str(refused.value)


def test_missing_array_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / TEST_ARRAYS, labels=[1, 2])
    with pytest.raises(BrokenRecordError, match=r"cannot be read: logits: .*; repair it"):
        read_test_arrays(tmp_path, "labels", "logits")
