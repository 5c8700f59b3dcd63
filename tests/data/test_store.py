"""Reading stores without loading them, and noticing what is no store."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sbn_lightning.data.pack import Contents, NewStore, write_store
from sbn_lightning.data.store import Manifest, open_store, read_manifest
from sbn_lightning.errors import UsageError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 6)).astype(np.uint8)
LABELS = np.array([0, 1, 2, 1])
NAMES = ["x", "y", "z"]


SPLITS = {"train": [0, 2, 3], "test": [1]}


def put_store(
    folder: Path, images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, source: Any = "a", splits: Any = SPLITS
) -> None:
    def fill(new: NewStore) -> Contents:
        new.put([str(row) for row in range(len(images))], images)
        return Contents(NAMES, labels, splits)

    write_store(folder, "Pictures", {"source": source}, fill)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    put_store(tmp_path / "store")
    return tmp_path / "store"


def test_pixels_stay_on_disk_when_a_store_is_opened(store: Path) -> None:
    count, size = 16_384, (64, 64)  # 192 MiB, which take no room on the disk while they are all zero
    fields = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(fields | {"image_size": size}))
    np.lib.format.open_memmap(store / "images.npy", "w+", np.uint8, (count, 3, *size)).flush()
    np.save(store / "labels.npy", np.zeros(count, np.int64))
    before = psutil.Process().memory_info().rss
    images = open_store(store).images
    assert images.shape == (count, 3, *size)
    assert psutil.Process().memory_info().rss - before < images.numel() / 10


def test_digest_tells_contents_apart_and_nothing_else(tmp_path: Path) -> None:
    def digest(name: str, *arguments: Any, splits: Any = SPLITS) -> str:
        put_store(tmp_path / name, *arguments, splits=splits)
        return open_store(tmp_path / name).digest()

    first, order = digest("first"), np.array([2, 0, 3, 1])
    assert digest("copied elsewhere", IMAGES, LABELS, "b") == first
    other_rows = {"test": [3], "train": [1, 0, 2]}
    assert digest("in another order", IMAGES[order], LABELS[order], splits=other_rows) == first
    assert digest("other labels", IMAGES, LABELS[::-1]) != first
    assert digest("other pixels", IMAGES ^ 1) != first


# What is no store.


def test_there_is_no_store_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "file", tmp_path / "folder"):
        assert read_manifest(path) is None
        with pytest.raises(UsageError, match=f"there are no packed images in {path}"):
            open_store(path)


def test_truncated_manifest_counts_as_no_store(store: Path) -> None:
    manifest = store / "manifest.json"
    text = manifest.read_text()
    for length in range(0, len(text), 7):
        manifest.write_text(text[:length])
        assert read_manifest(store) is None
    manifest.write_text(text)
    assert read_manifest(store) is not None


FIELDS: dict[str, Any] = {
    "version": 3, "fingerprint": {}, "class_names": NAMES, "num_images": {"train": 3, "test": 1},
    "image_size": [2, 6], "mean": [0.5] * 3, "std": [0.1] * 3, "skipped": [],
}  # fmt: skip
OLDER = {key: value for key, value in FIELDS.items() if key != "version"}
FOREIGN = [OLDER, OLDER | {"format": 2}, FIELDS | {"version": 4}, FIELDS | {"from_the_future": 1}, [], 3, "version"]


@pytest.mark.parametrize("content", FOREIGN)
def test_foreign_manifest_counts_as_no_store_and_is_replaced(store: Path, content: Any) -> None:
    manifest = store / "manifest.json"
    manifest.write_text(json.dumps(FIELDS))
    assert read_manifest(store) == msgspec.convert(FIELDS, Manifest)  # so it is the content that is refused below
    manifest.write_text(json.dumps(content))
    assert read_manifest(store) is None
    (store / "train_images.bin").write_bytes(b"of an older version")
    put_store(store, IMAGES ^ 1)
    assert np.array_equal(open_store(store).images.numpy(), IMAGES ^ 1)
    assert not (store / "train_images.bin").exists()


def test_manifest_that_cannot_be_read_and_missing_file_are_named(tmp_path: Path, store: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(UsageError, match=r"manifest.json cannot be read \(it is not a regular file\)"):
        read_manifest(tmp_path)
    (store / "labels.npy").unlink()
    with pytest.raises(UsageError, match=f"{store} are damaged; remove this folder"):
        open_store(store)


# Files of any content: read as what they are, or refused; never other images, never a crash.

FEW = settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def check_reading(folder: Path) -> None:
    """The images are those that were written, or none at all."""
    if read_manifest(folder) is None:
        return
    try:
        store = open_store(folder)
    except UsageError as error:
        assert str(folder) in str(error)  # noqa: PT017
        return
    assert np.array_equal(store.images.numpy(), IMAGES)
    assert np.array_equal(store.labels.numpy(), LABELS)
    assert torch.tensor([store.manifest.mean, store.manifest.std]).isfinite().all()
    assert all(isinstance(name, str) for name in store.manifest.class_names)


@FEW
@given(field=st.sampled_from(list(FIELDS)), value=JSON)
@example(field="num_images", value={"train": 3})
@example(field="num_images", value={"train": 2**62, "test": 1})
@example(field="num_images", value={"train": -1, "test": 1})
@example(field="num_images", value={"train": 3, "test": True})
@example(field="image_size", value=[6, 2])
@example(field="image_size", value=[2])
@example(field="image_size", value=None)
@example(field="mean", value=None)
@example(field="std", value=[float("nan")] * 3)
@example(field="class_names", value=["x", "y"])
@example(field="fingerprint", value=None)
def test_changed_manifest_gives_the_images_or_none(field: str, value: Any, store: Path) -> None:
    manifest = store / "manifest.json"
    original = manifest.read_text()
    manifest.write_text(json.dumps(json.loads(original) | {field: value}))
    check_reading(store)
    manifest.write_text(original)


@FEW
@given(content=JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
@example(content=b"[" * 100_000)
@example(content=b"\xff\x00 not text")
def test_any_manifest_gives_the_images_or_none(content: bytes, store: Path) -> None:
    (store / "manifest.json").write_bytes(content)
    check_reading(store)


@FEW
@given(name=st.sampled_from(["images.npy", "labels.npy", "splits.npz"]), content=st.binary(max_size=160))
@example(name="images.npy", content=b"")
@example(name="labels.npy", content=b"\x80\x04N.")
@example(name="splits.npz", content=b"PK\x05\x06" + bytes(18))
def test_other_bytes_in_a_store_are_refused(name: str, content: bytes, store: Path) -> None:
    original = (store / name).read_bytes()
    (store / name).write_bytes(content)
    with pytest.raises(UsageError, match="are damaged; remove this folder to have them packed again"):
        open_store(store)
    (store / name).write_bytes(original)


OTHER_ARRAYS = [
    *[("images.npy", array) for array in (IMAGES[:3], IMAGES.astype(np.int16))],
    *[("labels.npy", array) for array in (LABELS + 1, LABELS - 1, LABELS.astype(np.int32))],
    *[("splits.npz", np.array(rows)) for rows in ([0, 2, 4], [-1, 0, 1], [0.0, 1.0, 2.0], [[0], [1], [2]])],
]


@pytest.mark.parametrize(("name", "array"), OTHER_ARRAYS)
def test_arrays_that_do_not_fit_the_manifest_are_refused(name: str, array: np.ndarray, store: Path) -> None:
    if name == "splits.npz":
        np.savez(store / name, train=array, test=np.array([1]))
    else:
        np.save(store / name, array)
    with pytest.raises(UsageError, match="are damaged"):
        open_store(store)
