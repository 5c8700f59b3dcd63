"""Writing stores whole or not at all."""

import multiprocessing
import os
import shutil
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_up_images import put_image
from opened_data import names

from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.pack import Contents, NewStore, locked, write_store
from sbn_lightning.data.sources import FolderSource
from sbn_lightning.data.store import Manifest, open_store, read_manifest
from sbn_lightning.errors import UsageError

SOURCE = {"size": 5, "files": ["a", "b"]}
NAMES = ["cat", "dog", "owl"]
Fill = Callable[[NewStore], Contents]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packed" / "store"


def filled(fill: int, count: int = 7) -> Fill:
    """Images whose every pixel has one value."""

    def write(new: NewStore) -> Contents:
        new.put([str(row) for row in range(count)], np.full((count, 3, 2, 2), fill, np.uint8))
        return Contents(NAMES, np.arange(count) % 3, {"train": range(count)})

    return write


def fill_of(folder: Path) -> int:
    (fill,) = open_store(folder).images.unique().tolist()
    return fill


def write(folder: Path, fill: Fill, source: dict = SOURCE) -> Manifest:
    return write_store(folder, "Pictures", source, fill)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir())


# What is written.


def test_what_was_written_is_read(folder: Path) -> None:
    images = (np.random.default_rng(0).integers(0, 256, (300, 3, 4, 6)) ** [[[1.0]], [[0.8]], [[0.5]]]).astype(np.uint8)
    order = np.random.default_rng(1).permutation(300)
    splits = {"train": order[:200], "test": order[200:250], "val": order[250:298]}
    files = [os.fsdecode(b"caf\xe9 \n\xf0\x9f\x90\x88.png"), *[f"{row}.png" for row in range(1, 300)]]
    classes = [*NAMES[:2], files[0]]

    def fill(new: NewStore) -> Contents:
        new.put(files, images)
        return Contents(classes, (np.arange(300) % 3).astype(np.int32), splits, [f"{files[0]}: left out"])

    manifest = write(folder, fill)
    store = open_store(folder)
    assert read_manifest(folder) == manifest == store.manifest
    assert (manifest.fingerprint, manifest.class_names, manifest.image_size) == (SOURCE, classes, (4, 6))
    assert manifest.num_images == {"train": 200, "test": 50, "val": 48}
    assert manifest.skipped == [f"{files[0]}: left out"]
    assert np.array_equal(store.images.numpy(), images)
    assert store.labels.tolist() == [0, 1, 2] * 100
    assert {name: rows.tolist() for name, rows in store.splits.items()} == {k: v.tolist() for k, v in splits.items()}
    assert names(folder) == files
    assert folder.stat().st_mode & 0o777 == 0o755  # for all users
    pixels = images[order[:200]].astype(np.float64) / 255
    np.testing.assert_allclose(manifest.mean, pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(manifest.std, pixels.std((0, 2, 3)), rtol=1e-12)


def test_files_that_cannot_be_decoded_are_in_no_split_and_listed(folder: Path, tmp_path: Path) -> None:
    for name in "abc":
        put_image(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"")

    def fill(new: NewStore) -> Contents:
        files = ["a.png", "b.png", "c.png"]
        readable = new.decode(FolderSource(tmp_path), files, (4, 4), "squash", "skip")
        assert readable.tolist() == [True, False, True]
        return Contents(NAMES, [0, 1, 2], {"train": [0, 1], "test": [1, 2]}, ["more"])

    manifest = write(folder, fill)
    assert manifest.skipped == ["b.png: is empty", "more"]
    assert {name: rows.tolist() for name, rows in open_store(folder).splits.items()} == {"train": [0], "test": [2]}


# Nothing by halves.


def no_test_images(new: NewStore) -> Contents:
    return Contents(NAMES, filled(1)(new).labels, {"train": [0, 1], "test": []})


def raising(error: BaseException) -> Fill:
    def fill(new: NewStore) -> Contents:
        filled(1)(new)
        raise error

    return fill


HALVES = [
    (no_test_images, UsageError, "no image of the test split of Pictures can be read"),
    (raising(OSError("the source is gone")), OSError, "the source is gone"),
    (raising(KeyboardInterrupt("Ctrl-C")), KeyboardInterrupt, "Ctrl-C"),
]


@pytest.mark.parametrize(("fill", "error", "message"), HALVES)
@pytest.mark.parametrize("older", [False, True])
def test_what_cannot_be_packed_leaves_everything_as_it_was(
    folder: Path, fill: Fill, error: type[BaseException], message: str, older: bool
) -> None:
    folder.parent.mkdir()
    if older:
        write(folder, filled(9))
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.glob("*")}
    with pytest.raises(error, match=message):
        write(folder, fill)
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.glob("*")} == before
    assert left_in(folder) == (["store"] if older else [])


def test_store_that_cannot_be_put_in_place_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(source: Path, target: Path) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(UsageError, match="not here; make room"):
        write(folder, filled(1))
    assert left_in(folder) == []


def test_disk_with_too_little_room_is_refused_before_anything_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000))
    message = rf"{folder}: 12 MB are needed, 3.0 MB are free; .*--data.packed_dir DIR"
    with pytest.raises(UsageError, match=message):
        write(folder, lambda new: new.decode(FolderSource(Path()), ["absent"] * 1_000_000, (2, 2), "squash", "error"))
    assert left_in(folder) == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room cannot be reserved on this system")
def test_room_that_cannot_be_reserved_is_an_error(folder: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # no file may grow beyond
    try:
        with pytest.raises(UsageError, match=rf"cannot be written to {folder}: .*; make room there, or name another"):
            write(folder, filled(1, count=10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left_in(folder) == []


@pytest.mark.parametrize("use", [lambda folder: write(folder, filled(1)), lambda folder: locked(folder).__enter__()])
def test_folder_that_cannot_be_written_to_is_named_with_what_to_do(tmp_path: Path, use: Callable[[Path], Any]) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "store"
    with pytest.raises(UsageError, match=rf"cannot be written to {folder}: .*--data.packed_dir DIR"):
        use(folder)


def test_folders_made_for_a_store_that_is_not_written_go_again(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no images"), locked(tmp_path / "root/.packed/store"):
        raise UsageError("no images")
    assert left_in(tmp_path / "root") == []
    with pytest.raises(UsageError, match="no images"), locked(tmp_path / "store"):  # of a folder that was there
        raise UsageError("no images")
    assert left_in(tmp_path / "store") == [".store.lock"]


# Several at once.


def test_what_a_killed_process_left_is_removed_by_the_next(folder: Path) -> None:
    for name in (".store.new", ".store.older"):
        (folder.parent / name / "folder").mkdir(parents=True)
    write(folder, filled(1))
    assert left_in(folder) == ["store"]


def test_reader_of_the_older_store_keeps_its_pixels(folder: Path) -> None:
    write(folder, filled(1))
    older = open_store(folder)
    write(folder, filled(2))
    assert older.images.unique().tolist() == [1]
    assert fill_of(folder) == 2
    assert left_in(folder) == ["store"]


NUM_ROUNDS = 10


class Rounds(ImageDataModule):
    """One source after another, of images whose pixels are the round's number; counts how often each is packed."""

    round = 0
    store_name = "store"

    def fingerprint(self) -> dict[str, int]:
        return {"round": self.round}

    def decode(self, new: NewStore) -> Contents:
        with open(self.root / f"decoded_{self.round}", "a") as file:
            file.write("once\n")
        return filled(self.round)(new)


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
    assert left_in(tmp_path / ".packed" / "store") == [".store.lock", "store"]
