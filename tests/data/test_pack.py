"""Writing stores whole or not at all."""

import multiprocessing
import os
import shutil
import signal
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from opened_data import names
from PIL import Image
from rich.progress import Progress

from sbn_lightning.data import ImageDataModule, decode
from sbn_lightning.data.decode import FolderSource, Source, ZipSource
from sbn_lightning.data.pack import Contents, NewStore, locked, write_store
from sbn_lightning.data.store import Manifest, open_store, read_manifest
from sbn_lightning.errors import UsageError

SOURCE = {"size": 5, "files": ["a", "b"]}
NAMES = ["cat", "dog", "owl"]
Fill = Callable[[NewStore], Contents]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packed" / "store"


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)


@pytest.fixture
def fork() -> Any:
    return multiprocessing.get_context("fork")  # a new interpreter would spend its time on importing torch


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


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_images_labels_names_and_splits_are_read_as_they_were_written(folder: Path, dtype: type) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 6)).astype(np.uint8)
    splits = {"train": [7, 1, 3, 4, 9], "test": [0, 2], "val": [8]}

    def fill(new: NewStore) -> Contents:
        new.put([f"{row}.png" for row in range(10)], images[:4], images[4:])
        return Contents(NAMES, (np.arange(10) % 3).astype(dtype), splits, ["x: left out"])

    written = write(folder, fill)
    store = open_store(folder)
    assert read_manifest(folder) == written == store.manifest
    assert written.fingerprint == SOURCE
    assert written.class_names == NAMES
    assert written.num_images == {"train": 5, "test": 2, "val": 1}
    assert written.image_size == (4, 6)
    assert written.skipped == ["x: left out"]
    assert np.array_equal(store.images.numpy(), images)
    assert store.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert {name: rows.tolist() for name, rows in store.splits.items()} == splits
    assert names(folder) == [f"{row}.png" for row in range(10)]
    assert folder.stat().st_mode & 0o777 == 0o755  # for all users


def test_name_of_any_bytes_is_kept(folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \n\xf0\x9f\x90\x88.png")

    def fill(new: NewStore) -> Contents:
        new.put([name], np.zeros((1, 3, 2, 2), np.uint8))
        return Contents([name], [0], {"train": [0]}, [f"{name}: skipped"])

    assert write(folder, fill) == read_manifest(folder)
    assert names(folder) == [name]


def test_mean_and_std_are_those_of_all_training_pixels(folder: Path) -> None:
    images = (np.random.default_rng(0).integers(0, 256, (300, 3, 9, 7)) ** [[[1.0]], [[0.8]], [[0.5]]]).astype(np.uint8)
    train = np.random.default_rng(1).permutation(300)[:200]

    def fill(new: NewStore) -> Contents:
        new.put([str(row) for row in range(300)], images)
        return Contents(NAMES, np.zeros(300), {"test": [1], "train": train})

    manifest = write(folder, fill)
    pixels = images[train].astype(np.float64) / 255
    np.testing.assert_allclose(manifest.mean, pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(manifest.std, pixels.std((0, 2, 3)), rtol=1e-12)
    assert len(set(manifest.mean)) == 3


# Files that are decoded.


@dataclass(frozen=True)
class Images:
    """Images of one gray level each, their number, in a mixed order; and three files that are no images."""

    folder: FolderSource
    archive: ZipSource
    names: list[str]
    bad: list[str]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("sources") / "images"
    (folder / "sub").mkdir(parents=True)
    for number in range(300):
        Image.new("L", (4, 4), number % 256).save(folder / f"sub/{number}.png")
    for name, content in (("empty", b""), ("text", b"text"), ("header", b"\x89PNG\r\n\x1a\n")):
        (folder / f"{name}.png").write_bytes(content)
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in folder.rglob("*.png"):
            file.write(path, path.relative_to(folder).as_posix())
    names = [f"sub/{number}.png" for number in np.random.default_rng(0).permutation(300)]
    return Images(FolderSource(folder), ZipSource(archive), names, ["empty.png", "text.png", "header.png"])


def decoding(source: Source, names: list[str], on_bad_image: Any = "error") -> Fill:
    """Every tenth image is for testing."""

    def fill(new: NewStore) -> Contents:
        if isinstance(source, ZipSource):
            source.archive.namelist()  # opened here, as by TinyImageNet, before the processes start
        readable = new.decode(source, names, (4, 4), on_bad_image=on_bad_image)
        assert readable.tolist() == [not any(line.startswith(f"{name}: ") for line in new.skipped) for name in names]
        rows = np.arange(len(names))
        return Contents(["every"], 0 * rows, {"train": rows[rows % 10 > 0], "test": rows[rows % 10 == 0]})

    return fill


@pytest.mark.parametrize("source", ["folder", "archive"])
@pytest.mark.parametrize("count", [2, decode.SMALLEST, 3 * decode.SMALLEST + 1])
@pytest.mark.usefixtures("two_cores")
def test_file_is_decoded_into_its_row(folder: Path, images: Images, source: str, count: int) -> None:
    files = images.names[:count]
    manifest = write(folder, decoding(getattr(images, source), files))
    assert manifest.num_images == {"train": count - -(-count // 10), "test": -(-count // 10)}
    assert manifest.skipped == []
    store = open_store(folder)
    assert store.images[:, 1, 2, 3].tolist() == [int(Path(name).stem) % 256 for name in files]
    assert names(folder) == files


@pytest.mark.parametrize("source", ["folder", "archive"])
@pytest.mark.parametrize("count", [20, 300])
@pytest.mark.usefixtures("two_cores")
def test_bad_image_is_an_error_that_names_the_way_out_or_skipped_and_listed(
    folder: Path, images: Images, source: str, count: int
) -> None:
    empty, text, header = images.bad
    names = [*images.names[:3], empty, *images.names[3 : count // 2], text, *images.names[count // 2 : count], header]
    files = getattr(images, source)
    with pytest.raises(UsageError, match=rf"{files.path}/{empty} is empty; .*--data.on_bad_image skip") as caught:
        write(folder, decoding(files, names))
    assert multiprocessing.active_children() == []
    assert caught  # its traceback keeps everything alive
    assert left_in(folder) == []

    manifest = write(folder, decoding(files, names, "skip"))
    assert [line.partition(": ")[0] for line in manifest.skipped] == images.bad
    assert manifest.skipped[0] == f"{empty}: is empty"
    used = sorted(row for rows in open_store(folder).splits.values() for row in rows.tolist())
    assert used == [row for row, name in enumerate(names) if name not in images.bad]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
@pytest.mark.usefixtures("two_cores")
def test_interruption_ends_the_processes_and_leaves_nothing(
    folder: Path, images: Images, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    seen = []

    def interrupt(*_: object, **__: object) -> None:
        seen.extend(multiprocessing.active_children())
        raise interruption

    monkeypatch.setattr(Progress, "update", interrupt)
    with pytest.raises(interruption) as caught:
        write(folder, decoding(images.folder, images.names))
    assert len(seen) == 2
    assert caught
    assert multiprocessing.active_children() == []
    assert left_in(folder) == []


@pytest.mark.usefixtures("two_cores")
def test_process_that_is_killed_is_an_error_that_says_so(
    folder: Path, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(source: FolderSource, name: str) -> bytes:
        assert multiprocessing.parent_process() is not None
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    monkeypatch.setattr(FolderSource, "read", end)
    with pytest.raises(UsageError, match="a process that decodes images was killed"):
        write(folder, decoding(images.folder, images.names))
    assert left_in(folder) == []


def pack_for_ever(folder: Path) -> None:
    os.setsid()  # so that a signal can be sent to this process and its children, as a terminal does
    FolderSource.read = lambda source, name: time.sleep(60)  # type: ignore[assignment,return-value,method-assign]
    write(folder, decoding(FolderSource(Path()), ["x"] * 200))


def wait_until_ended(children: list[psutil.Process]) -> None:
    last = time.monotonic() + 10
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < last
        time.sleep(0.02)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
@pytest.mark.usefixtures("two_cores")
def test_processes_end_with_their_parent(
    folder: Path, fork: Any, stop: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    parent = fork.Process(target=pack_for_ever, args=(folder,))
    parent.start()
    children: list[psutil.Process] = []
    while len(children) < 2:
        assert parent.is_alive()
        time.sleep(0.02)
        children = psutil.Process(parent.pid).children()
    time.sleep(0.1)
    if stop == signal.SIGINT:
        os.killpg(parent.pid, stop)  # Ctrl-C
    else:
        parent.kill()
    parent.join(timeout=30)
    wait_until_ended(children)
    assert capfd.readouterr().err.count("Traceback") == (1 if stop == signal.SIGINT else 0)  # the parent's only
    if stop == signal.SIGINT:
        assert left_in(folder) == []
    else:
        write(folder, filled(1))
        assert left_in(folder) == ["store"]  # what the killed process left is removed by the next


# Nothing by halves.


def no_test_images(new: NewStore) -> Contents:
    return Contents(NAMES, filled(1)(new).labels, {"train": [0, 1], "test": []})


def source_disappears(new: NewStore) -> Contents:
    raise OSError("the source is gone")


@pytest.mark.parametrize(
    ("fill", "message"),
    [(no_test_images, "no image of the test split of Pictures can be read"), (source_disappears, "the source is gone")],
)
@pytest.mark.parametrize("older", [False, True])
def test_what_cannot_be_packed_leaves_everything_as_it_was(folder: Path, fill: Fill, message: str, older: bool) -> None:
    folder.parent.mkdir()
    if older:
        write(folder, filled(9))
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.glob("*")}
    with pytest.raises((UsageError, OSError), match=message):
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
    message = rf"{folder}: 12 MB are needed, 3 MB are free; .*--data.packed_dir DIR"
    with pytest.raises(UsageError, match=message):
        write(folder, lambda new: new.decode(FolderSource(Path()), ["absent"] * 1_000_000, (2, 2)))
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


# Several at once.


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
def test_two_processes_that_start_at_once_pack_each_source_once(tmp_path: Path, fork: Any) -> None:
    together = fork.Barrier(2)
    processes = [fork.Process(target=pack_together, args=(tmp_path, together)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [(tmp_path / f"decoded_{number}").read_text() for number in range(NUM_ROUNDS)] == ["once\n"] * NUM_ROUNDS
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == [".store.lock", "store"]
