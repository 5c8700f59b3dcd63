"""Reading test.npz, what a test left of each image; see callbacks.outputs.write_arrays."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_lightning.run.files import read_regular
from sbn_lightning.run.records import INSTEAD, BrokenRecordError

TEST_ARRAYS = "test.npz"
LARGEST = 2**30
"""Bytes of one array; a compressed file of a few megabytes could fill any memory."""
OF_EACH = {
    "logits": ("f", "images", "classes"),
    "labels": ("iu", "images"),
    "predictions": ("iu", "images"),
    "logit_edges": ("f", "edges"),
    "logit_counts": ("iu", "bins"),
    "true_class_logit_counts": ("iu", "bins"),
    "class_weight_norm": ("f", "classes"),
    "effective_class_weight_norm": ("f", "classes"),
    "class_names": ("U", "classes"),
}
"""{array: (NumPy's kinds of its numbers, what each of its axes counts)}"""


def read_test_arrays(run_dir: Path, *names: str) -> list[NDArray[Any]]:
    """Return arrays of a run's test.npz, of which only these are read.

    A BrokenRecordError names the file and the array if one is missing, or is not what `OF_EACH` says.
    """
    file = run_dir / TEST_ARRAYS
    name = names[0]
    arrays, counts = [], {"bins": 0, "edges": 0}
    try:
        with np.load(io.BytesIO(read_regular(file)), allow_pickle=False) as archive:
            for name in names:
                if archive.zip.getinfo(f"{name}.npy").file_size > LARGEST:
                    raise ValueError(f"it is larger than {LARGEST:,} bytes")
                array = archive[name]
                kinds, *axes = OF_EACH[name]
                if array.dtype.kind not in kinds or array.ndim != len(axes) or not array.size:
                    raise ValueError(f"it is of type {array.dtype} and shape {array.shape}")
                if kinds == "f" and name != "logits" and not np.isfinite(array).all():
                    raise ValueError("it holds NaN or infinity")
                for axis, count in zip(axes, array.shape, strict=True):
                    if counts.get(axis) not in (None, 0, count):
                        raise ValueError(f"it is of {count:,} {axis}, others are of {counts[axis]:,}")
                    counts[axis] = count
                arrays.append(array)
        if counts["bins"] and counts["edges"] not in (0, counts["bins"] + 1):
            raise ValueError(f"{counts['edges']:,} edges do not bound {counts['bins']:,} bins")
    except FileNotFoundError as error:
        raise BrokenRecordError(f"{run_dir} has no {TEST_ARRAYS}; sbn test writes it") from error
    except Exception as error:  # zipfile, zlib and NumPy's readers raise whatever damaged bytes lead them to
        raise BrokenRecordError(f"{file} cannot be read: {name}: {error}; {INSTEAD}") from error
    return arrays
