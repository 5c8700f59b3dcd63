"""Images put aside while they are being chosen."""

from pathlib import Path

import numpy as np
import pytest

from sbn_lightning.data.packing.spool import spool, unspool
from sbn_lightning.data.packing.store import Decoded
from sbn_lightning.errors import UsageError

IMAGES = np.random.default_rng(0).integers(0, 256, (2500, 3, 2, 4), dtype=np.uint8)
LABELS = np.arange(2500)


def in_chunks(count: int) -> Decoded:
    parts = [slice(start, start + 128) for start in range(0, count, 128)]
    return Decoded(count, (2, 4), [(IMAGES[:count][part], LABELS[:count][part]) for part in parts])


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_images_and_labels_come_back_as_they_were(count: int, tmp_path: Path) -> None:
    images, labels = spool(in_chunks(count), tmp_path / "new")
    np.testing.assert_array_equal(images, IMAGES[:count])
    np.testing.assert_array_equal(labels, LABELS[:count])


def test_rows_come_in_the_order_asked_for(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).permutation(2500)[:2100]
    images, labels = zip(*unspool(*spool(in_chunks(2500), tmp_path), rows), strict=True)
    assert len(images) == 3
    np.testing.assert_array_equal(np.concatenate(images), IMAGES[rows])
    np.testing.assert_array_equal(np.concatenate(labels), rows)


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    images, _ = spool(in_chunks(200), tmp_path)
    assert not list(tmp_path.iterdir())
    assert images[199].tobytes() == IMAGES[199].tobytes()  # although it can be read


def test_folder_that_cannot_be_written_to_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be put aside in .*file/packed: .* --data\.packed_dir DIR"):
        spool(in_chunks(200), tmp_path / "file" / "packed")
