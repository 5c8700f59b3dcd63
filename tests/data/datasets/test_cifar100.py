"""Reading, checking and downloading the official files."""

import hashlib
import io
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_cifar100 import COARSE_NAMES, FINE_NAMES, NUM_IMAGES, put_cifar100
from opened_data import ready, split

from sbn_lightning.data import CIFAR100
from sbn_lightning.data.datasets import cifar100
from sbn_lightning.data.store import open_store
from sbn_lightning.errors import UsageError

Records = dict[str, np.ndarray]
FILES = ["coarse_label_names.txt", "fine_label_names.txt", "test.bin", "train.bin"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def records(root: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    """The records of the official files that lie in root."""
    return put_cifar100(root, monkeypatch)


def left_in(root: Path) -> list[str]:
    """What lies in root, except for the lock beside the packed images and its folder."""
    return sorted(
        path.name for path in root.iterdir() if list(path.glob("*")) != [root / ".packed/.cifar100_fine.lock"]
    )


PLACES = {
    "train.bin": r"train.bin shows that this is that folder itself: name the one above it with --data.root DIR",
    "meta": r"there is the Python version, whose pickles are not read: unpack the binary version, https:",
    "cifar-100-python/meta": r"there is the Python version, whose pickles are not read",
    "cifar-100-binary.tar.gz": r"unpack .*/cifar-100-binary.tar.gz there",
}


@pytest.mark.parametrize("file", PLACES)
def test_what_lies_in_place_of_the_official_folder_is_said(root: Path, file: str) -> None:
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_bytes(b"")
    with pytest.raises(UsageError, match=rf"the dataset is not in {root}/; .*{PLACES[file]}"):
        CIFAR100(root=str(root)).prepare_data()


# Reading.


def test_a_record_is_coarse_label_fine_label_and_red_green_blue_planes_row_by_row(root: Path, records: Records) -> None:
    rows, columns = np.mgrid[:32, :32]
    planes = np.stack([rows, 100 + columns, (7 * rows + 3 * columns) % 256])
    records["test"][5] = [2, 13, *planes.flat]
    records["test"].tofile(root / "cifar-100-binary" / "test.bin")
    for labels, expected in (("fine", 13), ("coarse", 2)):
        images, found = split(ready(CIFAR100(root=str(root), labels=labels)), "test")
        assert np.array_equal(images[5], planes)
        assert found[5] == expected


@pytest.mark.parametrize(("labels", "column", "names"), [("fine", 1, FINE_NAMES), ("coarse", 0, COARSE_NAMES)])
def test_labels_are_those_asked_for(root: Path, records: Records, labels: str, column: int, names: list[str]) -> None:
    records["train"][records["train"][:, 1] == 99, 1] = 98
    records["train"].tofile(root / "cifar-100-binary" / "train.bin")
    data = ready(CIFAR100(root=str(root), labels=labels))
    assert data.class_names == names
    for name in NUM_IMAGES:
        assert split(data, name)[1].tolist() == records[name][:, column].tolist()
    if labels == "fine":  # a class without training images is counted as 0
        assert data.class_counts.tolist() == [10] * 98 + [20, 0]


def test_nothing_is_unpickled(root: Path, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle can run any code")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert ready(CIFAR100(root=str(root))).num_images == NUM_IMAGES


# Damaged files.


def set_byte(position: int, value: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:position] + bytes([value]) + content[position + 1 :]


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "truncated": ("train.bin", lambda content: content[:-1], "3,073,999 bytes, not 3,074,000"),
    "too long": ("test.bin", lambda content: content + b"x", "614,801 bytes, not 614,800"),
    "empty": ("test.bin", lambda content: b"", "0 bytes, not 614,800"),
    "coarse label": ("train.bin", set_byte(3 * 3074, 20), "the coarse label 20, but they end at 19"),
    "fine label": ("test.bin", set_byte(7 * 3074 + 1, 100), "the fine label 100, but they end at 99"),
    "class names": ("fine_label_names.txt", lambda content: content[7:], "99 classes, not 100"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_named_with_the_rule_and_nothing_is_packed(root: Path, records: Records, damage: str) -> None:
    name, change, message = DAMAGES[damage]
    file = root / "cifar-100-binary" / name
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UsageError, match=rf"{file} .*{message}.*put the official file there"):
        ready(CIFAR100(root=str(root)))
    assert left_in(root) == ["cifar-100-binary"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("download", [False, True])
def test_missing_file_is_named(root: Path, records: Records, name: str, download: bool) -> None:
    (root / "cifar-100-binary" / name).unlink()
    with pytest.raises(UsageError, match=rf"{root}/cifar-100-binary lacks {name}.*--data.download true"):
        CIFAR100(root=str(root), download=download).prepare_data()
    assert left_in(root) == ["cifar-100-binary"]


# Downloading; the archive lies on this machine.


def archive_of(folder: Path, *extra_members: str) -> bytes:
    """The official archive's layout, and further members in front of its files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name in extra_members:
            archive.addfile(tarfile.TarInfo(name))
        archive.add(folder / "cifar-100-binary", "cifar-100-binary")
    return buffer.getvalue()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """serve(archive): that is the official archive."""

    def put(archive: bytes) -> None:
        (tmp_path / "archive.tar.gz").write_bytes(archive)
        monkeypatch.setattr(cifar100, "URL", (tmp_path / "archive.tar.gz").as_uri())
        monkeypatch.setattr(cifar100, "MD5", hashlib.md5(archive).hexdigest())

    return put


def test_downloaded_files_are_put_into_root_without_their_archive(
    root: Path, tmp_path: Path, serve: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_cifar100(tmp_path / "elsewhere", monkeypatch)
    outside = ["../evil", "cifar-100-binary/../../evil", str(tmp_path / "evil"), "evil"]
    serve(archive_of(tmp_path / "elsewhere", *outside))
    data = CIFAR100(root=str(root / "new"), download=True)
    data.prepare_data()
    assert sorted(path.name for path in (root / "new").iterdir()) == [".packed", "cifar-100-binary"]
    assert sorted(path.name for path in data.source.iterdir()) == FILES
    for name in FILES:
        assert (data.source / name).read_bytes() == (tmp_path / "elsewhere" / "cifar-100-binary" / name).read_bytes()
    assert list(tmp_path.rglob("evil")) == []  # members outside their folder are written nowhere
    data.setup("fit")
    assert data.num_images == NUM_IMAGES


def test_files_that_are_there_are_not_downloaded(root: Path, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar100, "URL", "file:///nowhere")
    CIFAR100(root=str(root), download=True).prepare_data()
    assert (root / ".packed" / "cifar100_fine").is_dir()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "MD5 0{32} expected.*try again"),
        ("file:///nowhere", "could not be downloaded .*; download it elsewhere and"),
    ],
)
def test_failed_download_is_an_error_and_leaves_nothing(
    root: Path, serve: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch, url: str | None, message: str
) -> None:
    serve(b"another one")
    monkeypatch.setattr(cifar100, "MD5", "0" * 32)
    monkeypatch.setattr(cifar100, "URL", url or cifar100.URL)
    with pytest.raises(UsageError, match=f"{cifar100.URL} .*{message}"):
        CIFAR100(root=str(root), download=True).prepare_data()
    assert left_in(root) == []


# The real images.


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CIFAR100]:
    if "SBN_CIFAR100_ROOT" not in os.environ:
        pytest.skip("SBN_CIFAR100_ROOT does not name the folder that holds cifar-100-binary/")
    root = tmp_path_factory.mktemp("real")
    (root / "cifar-100-binary").symlink_to(Path(os.environ["SBN_CIFAR100_ROOT"], "cifar-100-binary").resolve())
    yield ready(CIFAR100(root=str(root)))
    shutil.rmtree(root)  # 184 MB


def test_real_images_are_500_and_100_of_each_class_with_the_known_mean_and_std(real: CIFAR100) -> None:
    assert real.num_images == {"train": 50_000, "test": 10_000}
    assert real.class_counts.tolist() == [500] * 100
    assert torch.bincount(split(real, "test")[1]).tolist() == [100] * 100
    assert (real.class_names[0], real.class_names[-1]) == ("apple", "worm")
    assert real.manifest().mean == pytest.approx([0.5071, 0.4865, 0.4409], abs=1e-3)
    assert real.manifest().std == pytest.approx([0.2673, 0.2564, 0.2762], abs=1e-3)


def test_real_fine_classes_each_belong_to_one_of_20_coarse_ones(real: CIFAR100) -> None:
    coarse = ready(CIFAR100(root=str(real.root), labels="coarse"))
    assert len(coarse.class_names) == 20
    pairs = torch.stack([open_store(data.store).labels for data in (real, coarse)], 1).unique(dim=0)
    assert len(pairs) == 100
    assert torch.bincount(pairs[:, 1]).tolist() == [5] * 20
