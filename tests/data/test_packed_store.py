"""Writing stores whole or not at all, and reading them without loading them."""

import json
import multiprocessing
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.packing.pack import locked, write_store
from sbn_lightning.data.packing.store import (
    FORMAT,
    Decoded,
    Manifest,
    content_digest,
    open_split,
    read_manifest,
)
from sbn_lightning.errors import UsageError

SOURCE = {"size": 5, "files": ["a", "b"]}
OTHER_SOURCE = {"size": 6, "files": ["a", "b"]}
NAMES = ["cat", "dog", "owl"]


MANIFEST = asdict(Manifest(SOURCE, NAMES, {"train": 7}, [64, 64], [0.5] * 3, [0.1] * 3, []))


def random_images(count: int, height: int = 4, width: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, height, width)).astype(np.uint8)


def split_of(images: np.ndarray, labels: np.ndarray | None = None, num_chunks: int = 1) -> Decoded:
    if labels is None:
        labels = np.arange(len(images)) % len(NAMES)
    pieces = zip(np.array_split(images, num_chunks), np.array_split(labels, num_chunks), strict=True)
    return Decoded(len(images), images.shape[2:], pieces)


def store_with(folder: Path, fill: int, source: dict = SOURCE) -> None:
    """A store whose every pixel has one value."""
    write_store(folder, source, NAMES, {"train": split_of(np.full((7, 3, 2, 2), fill, np.uint8))})


def fill_of(folder: Path) -> int:
    (fill,) = open_split(folder, "train").images.unique().tolist()
    return fill


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packed" / "store"


@pytest.mark.parametrize("num_chunks", [1, 3, 10])
def test_what_is_written_is_read(folder: Path, num_chunks: int) -> None:
    images = {"train": random_images(10), "test": random_images(4, seed=1)}
    written = write_store(folder, SOURCE, NAMES, {name: split_of(images[name], None, num_chunks) for name in images})
    assert read_manifest(folder) == written
    assert written.fingerprint == SOURCE
    assert written.class_names == NAMES
    assert written.num_images == {"train": 10, "test": 4}
    assert written.image_size == [4, 6]
    assert written.skipped == []
    for name, expected in images.items():
        split = open_split(folder, name)
        assert split.images.dtype == torch.uint8
        assert split.labels.dtype == torch.int64
        assert split.images.tolist() == expected.tolist()
        assert split.labels.tolist() == [i % 3 for i in range(len(expected))]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type_become_int64(folder: Path, dtype: type) -> None:
    write_store(folder, SOURCE, NAMES, {"train": split_of(random_images(3), np.array([2, 0, 1], dtype))})
    labels = open_split(folder, "train").labels
    assert labels.dtype == torch.int64
    assert labels.tolist() == [2, 0, 1]


def test_pixels_stay_on_disk_when_a_split_is_opened(tmp_path: Path) -> None:
    shape = (16_384, 3, 64, 64)  # 192 MiB, which take no room on the disk while they are all zero
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST | {"num_images": {"train": shape[0]}}))
    with open(tmp_path / "train_images.bin", "wb") as file:
        file.truncate(int(np.prod(shape)))
    np.save(tmp_path / "train_labels.npy", np.zeros(shape[0], np.int64))
    before = psutil.Process().memory_info().rss
    images = open_split(tmp_path, "train").images
    grown = psutil.Process().memory_info().rss - before
    assert images.shape == shape
    assert grown < images.numel() / 10


@pytest.mark.parametrize("num_chunks", [1, 4])
def test_mean_and_std_are_those_of_all_training_pixels(folder: Path, num_chunks: int) -> None:
    images = (random_images(50, 9, 7) ** np.array([1.0, 0.8, 0.5])[:, None, None]).astype(np.uint8)
    splits = {"test": split_of(random_images(5, 9, 7)), "train": split_of(images, num_chunks=num_chunks)}
    manifest = write_store(folder, SOURCE, NAMES, splits)
    pixels = images.astype(np.float64) / 255
    np.testing.assert_allclose(manifest.mean, pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(manifest.std, pixels.std((0, 2, 3)), rtol=1e-12)
    assert len(set(manifest.mean)) == 3


def test_other_users_may_read_a_store(folder: Path) -> None:
    store_with(folder, fill=1)
    assert folder.stat().st_mode & 0o777 == 0o755


# Nothing by halves.


def failing_chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield random_images(2), np.zeros(2, int)
    raise OSError("image 3 cannot be read")


def announced(num_images: int, images: np.ndarray, num_chunks: int = 1, skipped: tuple[str, ...] = ()) -> Decoded:
    split = split_of(images, num_chunks=num_chunks)
    return Decoded(num_images, split.image_size, split.chunks, list(skipped))


BAD_SPLITS: dict[str, tuple[Callable[[], Decoded], str]] = {
    "unreadable image": (lambda: Decoded(5, (4, 6), failing_chunks()), "image 3 cannot be read"),
    "no images": (lambda: split_of(random_images(0)), "the test split holds no images"),
    "all skipped": (lambda: announced(2, random_images(0), 1, ("a: bad", "b: bad")), "the test split holds no images"),
    "label too large": (
        lambda: split_of(random_images(2), np.array([1, 3])),
        "the test split's labels reach 1 to 3, but 3 classes have a name",
    ),
    "negative label": (
        lambda: split_of(random_images(2), np.array([-1, 2])),
        "the test split's labels reach -1 to 2, but 3 classes have a name",
    ),
    "a label too few": (
        lambda: Decoded(4, (4, 6), [(random_images(4), np.zeros(3, int))]),
        r"the test split has uint8 images \(4, 3, 4, 6\) beside 3 labels",
    ),
    "floats": (
        lambda: Decoded(4, (4, 6), [(random_images(4) / 255, np.zeros(4, int))]),
        r"the test split has float64 images .* should be uint8 \(n, 3, 4, 6\)",
    ),
    "another size": (lambda: split_of(random_images(4, 6, 4)), r"differ in their image size: \[\(4, 6\), \(6, 4\)\]"),
    "an image too few": (lambda: announced(5, random_images(4), 2), "should have 5 images, .* 0 are skipped"),
    "more missing than skipped": (lambda: announced(5, random_images(3), 2, ("a: bad",)), "5 images, .* 1 are skipped"),
    "an image too many": (lambda: announced(5, random_images(6), 2), "should have 5 images, of which 0"),
    "a chunk too many": (lambda: announced(3, random_images(9), 3), "should have 3 images, of which 0"),
}


@pytest.mark.parametrize("bad", BAD_SPLITS)
def test_what_cannot_be_packed_leaves_nothing_behind(folder: Path, bad: str) -> None:
    make, message = BAD_SPLITS[bad]
    with pytest.raises((ValueError, OSError), match=message):
        write_store(folder, SOURCE, NAMES, {"train": split_of(random_images(5)), "test": make()})
    assert read_manifest(folder) is None
    assert list(folder.parent.glob("*")) == []


@pytest.mark.parametrize("bad", BAD_SPLITS)
def test_what_cannot_be_packed_leaves_the_older_store_as_it_was(folder: Path, bad: str) -> None:
    store_with(folder, fill=9)
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}
    make, message = BAD_SPLITS[bad]
    with pytest.raises((ValueError, OSError), match=message):
        write_store(folder, OTHER_SOURCE, NAMES, {"train": split_of(random_images(5)), "test": make()})
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_store_that_cannot_be_put_in_place_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def rename_elsewhere_only(source: Path, target: Path) -> None:
        if target == folder:
            raise PermissionError("not here")
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_elsewhere_only)
    with pytest.raises(UsageError, match="not here; make room"):
        store_with(folder, fill=1)
    assert list(folder.parent.iterdir()) == []


def test_skipped_images_are_missing_and_listed(folder: Path) -> None:
    splits = {
        "train": announced(7, random_images(5), 2, ("a.png: is empty", "b.png: is empty")),
        "test": announced(3, random_images(2), 1, ("c.png: is empty",)),
    }
    manifest = write_store(folder, SOURCE, NAMES, splits)
    assert manifest.num_images == {"train": 5, "test": 2}
    assert manifest.skipped == ["a.png: is empty", "b.png: is empty", "c.png: is empty"]
    assert len(open_split(folder, "train").images) == 5


def test_disk_with_too_little_room_is_refused_before_anything_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        raise AssertionError("not to be decoded")
        yield

    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000))
    message = rf"{folder}: 12 MB are needed, 3 MB are free; .*--data.packed_dir DIR"
    with pytest.raises(UsageError, match=message):
        write_store(folder, SOURCE, NAMES, {"train": Decoded(1_000_000, (2, 2), chunks())})
    assert list(folder.parent.iterdir()) == []


def test_disk_that_fills_up_meanwhile_leaves_nothing_behind(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # no file may grow beyond
    try:
        with pytest.raises(UsageError, match=rf"cannot be written to {folder}: .*; make room there, or name another"):
            write_store(folder, SOURCE, NAMES, {"train": split_of(random_images(1000), num_chunks=10)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize("write", [lambda folder: store_with(folder, 1), lambda folder: locked(folder).__enter__()])
def test_folder_that_cannot_be_written_to_is_named_with_what_to_do(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "store"
    with pytest.raises(UsageError, match=rf"cannot be written to {folder}: .*--data.packed_dir DIR"):
        write(folder)


def test_there_is_no_store_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "file", tmp_path / "folder"):
        assert read_manifest(path) is None


def test_truncated_manifest_counts_as_no_store(folder: Path) -> None:
    store_with(folder, fill=1)
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    for length in range(len(text)):
        manifest.write_text(text[:length])
        assert read_manifest(folder) is None
    manifest.write_text(text)
    assert read_manifest(folder) is not None


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(MANIFEST | {"format": FORMAT + 1}),
        json.dumps({key: value for key, value in MANIFEST.items() if key != "format"}),
        json.dumps({key: value for key, value in MANIFEST.items() if key != "mean"}),
        json.dumps(MANIFEST | {"from_the_future": 1}),
        "[]",
        "null",
        "3",
        '"format"',
        "not JSON",
        b"\xff\x00 no text",
    ],
)
def test_foreign_manifest_counts_as_no_store_and_is_replaced(folder: Path, content: str | bytes) -> None:
    store_with(folder, fill=1)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(MANIFEST))
    assert read_manifest(folder) == Manifest(**MANIFEST)  # so it is the content that is refused below
    manifest.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_manifest(folder) is None
    store_with(folder, fill=2)
    assert fill_of(folder) == 2


# Several at once.


def test_reader_of_the_older_store_keeps_its_pixels(folder: Path) -> None:
    store_with(folder, fill=1)
    older = open_split(folder, "train")
    store_with(folder, fill=2, source=OTHER_SOURCE)
    assert older.images.unique().tolist() == [1]
    assert fill_of(folder) == 2
    assert list(folder.parent.iterdir()) == [folder]


NUM_ROUNDS = 20


class Rounds(ImageDataModule):
    """One source after another, of one image whose pixels are the round's number; counts how often each is packed."""

    round = 0
    store_name = "store"

    def fingerprint(self) -> dict[str, int]:
        return {"round": self.round}

    def decode(self) -> tuple[list[str], dict[str, Decoded]]:
        with open(self.root / f"decoded_{self.round}", "a") as file:
            file.write("once\n")
        return NAMES, {"train": split_of(np.full((7, 3, 2, 2), self.round, np.uint8))}


def pack_together(root: Path, together: Barrier) -> None:
    """Pack one source after another, each at the same time as the other process."""
    for number in range(NUM_ROUNDS):
        data = Rounds(str(root))
        data.round = number
        together.wait(timeout=60)
        data.prepare_data()
        assert fill_of(data.store) == number
        together.wait(timeout=60)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")  # the children only write files
def test_two_processes_that_start_at_once_pack_each_source_once(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")  # a new interpreter would spend its time on importing torch
    together = fork.Barrier(2)
    processes = [fork.Process(target=pack_together, args=(tmp_path, together)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [(tmp_path / f"decoded_{number}").read_text() for number in range(NUM_ROUNDS)] == ["once\n"] * NUM_ROUNDS
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == [".store.lock", "store"]


def test_digest_tells_contents_apart_and_nothing_else(tmp_path: Path) -> None:
    images = random_images(10)

    def digest(name: str, images: np.ndarray, source: dict = SOURCE, **more: np.ndarray) -> str:
        write_store(tmp_path / name, source, NAMES, {"train": split_of(images, **more)})
        return content_digest(tmp_path / name)

    first = digest("first", images)
    assert digest("copied elsewhere", images, OTHER_SOURCE) == first
    assert digest("other labels", images, labels=np.zeros(10, int)) != first
    assert digest("other pixels", images ^ 1) != first
