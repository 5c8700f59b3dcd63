"""Writing stores whole or not at all, and reading them without loading them."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from sbn_lightning.data.packed_store import FORMAT, Decoded, Manifest, open_split, read_manifest, write_store

SOURCE = {"size": 5, "files": ["a", "b"]}
OTHER_SOURCE = {"size": 6, "files": ["a", "b"]}
NAMES = ["cat", "dog", "owl"]


def random_images(count: int, height: int = 4, width: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, height, width)).astype(np.uint8)


def split_of(images: np.ndarray, labels: np.ndarray | None = None, num_chunks: int = 1) -> Decoded:
    if labels is None:
        labels = np.arange(len(images)) % len(NAMES)
    return Decoded(labels, images.shape[2:], iter(np.array_split(images, num_chunks)))


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
    np.lib.format.open_memmap(tmp_path / "train_images.npy", mode="w+", dtype=np.uint8, shape=shape)
    np.save(tmp_path / "train_labels.npy", np.zeros(len(shape), np.int64))
    before = psutil.Process().memory_info().rss
    images = open_split(tmp_path, "train").images
    grown = psutil.Process().memory_info().rss - before
    assert images.shape == shape
    assert grown < images.numel() / 10


@pytest.mark.parametrize("num_chunks", [1, 4])
def test_mean_and_std_are_those_of_all_training_pixels(folder: Path, num_chunks: int) -> None:
    images = (random_images(50, 9, 7) ** np.array([1.0, 0.8, 0.5])[:, None, None]).astype(np.uint8)
    splits = {"test": split_of(random_images(5)), "train": split_of(images, num_chunks=num_chunks)}
    manifest = write_store(folder, SOURCE, NAMES, splits)
    pixels = images.astype(np.float64) / 255
    np.testing.assert_allclose(manifest.mean, pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(manifest.std, pixels.std((0, 2, 3)), rtol=1e-12)
    assert len(set(manifest.mean)) == 3


def test_other_users_may_read_a_store(folder: Path) -> None:
    store_with(folder, fill=1)
    assert folder.stat().st_mode & 0o777 == 0o755


# Nothing by halves.


def failing_chunks() -> Iterator[np.ndarray]:
    yield random_images(2)
    raise OSError("image 3 cannot be read")


BAD_SPLITS: dict[str, tuple[Callable[[], Decoded], str]] = {
    "unreadable image": (lambda: Decoded(np.zeros(5, int), (4, 6), failing_chunks()), "image 3 cannot be read"),
    "no images": (lambda: split_of(random_images(0)), "the test split holds no images"),
    "label too large": (
        lambda: split_of(random_images(2), np.array([1, 3])),
        "the test split's labels reach 1 to 3, but 3 classes have a name",
    ),
    "negative label": (
        lambda: split_of(random_images(2), np.array([-1, 2])),
        "the test split's labels reach -1 to 2, but 3 classes have a name",
    ),
    "an image too few": (
        lambda: split_of(random_images(4), np.zeros(5, int), num_chunks=2),
        "the test split has 5 labels but 4 images",
    ),
    "an image too many": (
        lambda: split_of(random_images(6), np.zeros(5, int), num_chunks=2),
        "the test split has 5 labels but 6 images",
    ),
    "a chunk too many": (
        lambda: split_of(random_images(9), np.zeros(3, int), num_chunks=3),
        "the test split has 3 labels but 9 images",
    ),
    "one image too many, alone": (
        lambda: split_of(random_images(3), np.zeros(2, int), num_chunks=3),
        "the test split has 2 labels but 3 images",
    ),
}


@pytest.mark.parametrize("bad", BAD_SPLITS)
def test_what_cannot_be_packed_leaves_nothing_behind(folder: Path, bad: str) -> None:
    make, message = BAD_SPLITS[bad]
    with pytest.raises((ValueError, OSError), match=message):
        write_store(folder, SOURCE, NAMES, {"train": split_of(random_images(5)), "test": make()})
    assert read_manifest(folder) is None
    assert list(folder.parent.iterdir()) == []


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
    with pytest.raises(PermissionError, match="not here"):
        store_with(folder, fill=1)
    assert list(folder.parent.iterdir()) == []


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


MANIFEST = asdict(Manifest(SOURCE, NAMES, {"train": 7}, [0.5] * 3, [0.1] * 3))


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


@pytest.mark.parametrize("older_store", [False, True])
def test_store_that_another_process_finished_meanwhile_is_used(folder: Path, older_store: bool) -> None:
    if older_store:
        store_with(folder, fill=1)

    def chunks() -> Iterator[np.ndarray]:
        store_with(folder, fill=2, source=OTHER_SOURCE)  # what the other process does
        yield np.full((7, 3, 2, 2), 3, np.uint8)

    write_store(folder, OTHER_SOURCE, NAMES, {"train": Decoded(np.zeros(7, int), (2, 2), chunks())})
    assert fill_of(folder) == 2
    assert list(folder.parent.iterdir()) == [folder]


def test_store_of_another_source_that_was_finished_meanwhile_is_replaced(folder: Path) -> None:
    def chunks() -> Iterator[np.ndarray]:
        store_with(folder, fill=2)
        yield np.full((7, 3, 2, 2), 3, np.uint8)

    write_store(folder, OTHER_SOURCE, NAMES, {"train": Decoded(np.zeros(7, int), (2, 2), chunks())})
    assert fill_of(folder) == 3
    assert list(folder.parent.iterdir()) == [folder]


NUM_ROUNDS = 100


def pack_together(folder: Path, together: Barrier) -> None:
    """Pack one source after another, each at the same time as the other process."""

    def chunks(fill: int) -> Iterator[np.ndarray]:
        together.wait(timeout=60)
        yield np.full((7, 3, 2, 2), fill, np.uint8)

    for number in range(NUM_ROUNDS):
        write_store(folder, {"round": number}, NAMES, {"train": Decoded(np.zeros(7, int), (2, 2), chunks(number))})


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")  # the children only write files
def test_two_processes_that_pack_at_once_end_with_a_whole_store(folder: Path) -> None:
    fork = multiprocessing.get_context("fork")  # a new interpreter would spend its time on importing torch
    together = fork.Barrier(2)
    processes = [fork.Process(target=pack_together, args=(folder, together)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.fingerprint == {"round": NUM_ROUNDS - 1}
    assert fill_of(folder) == NUM_ROUNDS - 1
    assert list(folder.parent.iterdir()) == [folder]
