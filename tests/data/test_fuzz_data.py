"""Data files of any content: read as what they are, or refused; never other images, never a crash."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sbn_lightning.data import CIFAR100
from sbn_lightning.data.datasets import cifar100
from sbn_lightning.data.packing.pack import write_store
from sbn_lightning.data.packing.store import Decoded, Manifest, open_split, read_manifest

FEW = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
RECORD = cifar100.RECORD_BYTES


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the official names, for files of two training images and one test image."""
    monkeypatch.setattr(cifar100, "NUM_IMAGES", {"train": 2, "test": 1})
    folder = tmp_path / cifar100.FOLDER
    folder.mkdir()
    for kind, count in cifar100.NUM_CLASSES.items():
        (folder / f"{kind}_label_names.txt").write_text("\n".join(f"{kind}{number}" for number in range(count)))
    (folder / "test.bin").write_bytes(bytes(RECORD))
    return folder


@FEW
@given(
    labels=st.lists(st.tuples(st.integers(0, 255) | st.integers(0, 25), st.integers(0, 255)), min_size=2, max_size=2),
    pixels=st.binary(min_size=1, max_size=20),
    length=st.integers(0, 3 * RECORD) | st.just(2 * RECORD),
)
@example(labels=[(19, 99), (0, 0)], pixels=b"\1\2", length=2 * RECORD)
@example(labels=[(20, 99), (0, 0)], pixels=b"\1\2", length=2 * RECORD)
@example(labels=[(19, 100), (0, 0)], pixels=b"\1\2", length=2 * RECORD)
def test_cifar100_records_are_read_as_they_are_or_refused(
    labels: list[tuple[int, int]], pixels: bytes, length: int, official: Path
) -> None:
    planes = (pixels * RECORD)[: RECORD - 2]
    content = (b"".join(bytes(pair) + planes for pair in labels) * 2)[:length]
    (official / "train.bin").write_bytes(content)
    good = length == 2 * RECORD and all(coarse < 20 and fine < 100 for coarse, fine in labels)
    data = CIFAR100(str(official.parent))
    if not good:
        with pytest.raises(ValueError, match=r"train\.bin is damaged: .* put the official file there"):
            data.decode()
        return
    _, splits = data.decode()
    ((images, read),) = splits["train"].chunks
    assert read.tolist() == [fine for _, fine in labels]
    assert all(image.tobytes() == planes for image in images)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 6)).astype(np.uint8)
LABELS = np.array([0, 1, 2, 1])
FIELDS = list(asdict(Manifest({}, [], {}, [], [], [], [])))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "store", {"a": 1}, ["x", "y", "z"], {"train": Decoded(4, (2, 6), [(IMAGES, LABELS)])})
    return tmp_path / "store"


def check_reading(store: Path) -> None:
    """The images are those that were written, or none at all."""
    manifest = read_manifest(store)
    if manifest is None:
        return
    try:
        split = open_split(store, "train") if "train" in manifest.num_images else None
    except (ValueError, FileNotFoundError) as error:
        assert str(store) in str(error)  # noqa: PT017
        return
    if split is not None and manifest.image_size == [2, 6]:
        assert np.array_equal(split.images.numpy(), IMAGES)
        assert np.array_equal(split.labels.numpy(), LABELS)
    assert len(manifest.mean) == len(manifest.std) == 3
    assert all(isinstance(name, str) for name in manifest.class_names)


@FEW
@given(field=st.sampled_from(FIELDS), value=JSON)
@example(field="num_images", value={"train": 3})
@example(field="num_images", value={"train": 2**62})
@example(field="num_images", value={"train": -1})
@example(field="num_images", value={"train": True})
@example(field="image_size", value=[2, 5])
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
def test_any_manifest_gives_the_images_or_none(content: bytes, store: Path) -> None:
    (store / "manifest.json").write_bytes(content)
    check_reading(store)


@FEW
@given(name=st.sampled_from(["train_images.bin", "train_labels.npy"]), content=st.binary(max_size=160))
@example(name="train_images.bin", content=bytes(IMAGES.size + 1))
@example(name="train_images.bin", content=b"")
@example(name="train_labels.npy", content=b"\x80\x04N.")
def test_other_bytes_in_a_store_are_refused(name: str, content: bytes, store: Path) -> None:
    original = (store / name).read_bytes()
    (store / name).write_bytes(content)
    if len(content) != IMAGES.size or name.endswith("npy"):
        with pytest.raises(ValueError, match="are damaged; remove this folder to have them packed again"):
            open_split(store, "train")
    (store / name).write_bytes(original)
