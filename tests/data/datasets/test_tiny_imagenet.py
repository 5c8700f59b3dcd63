"""Tiny ImageNet: reading, checking and downloading the official archive."""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_tiny_imagenet import FOLDER, WNIDS, jpeg, tiny_imagenet_files, write_folder, write_zip
from opened_data import names, ready, split

from sbn_lightning.data import TinyImageNet
from sbn_lightning.data.datasets import tiny_imagenet
from sbn_lightning.data.decode import decode_image
from sbn_lightning.data.store import open_store
from sbn_lightning.errors import UsageError

Files = dict[str, bytes]


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    """What the official archive holds, for four classes."""
    monkeypatch.setattr(TinyImageNet, "num_classes", 4)
    return dict(tiny_imagenet_files(4, 3, 2))


def as_zip(root: Path, files: Files) -> None:
    write_zip(root / f"{FOLDER}.zip", files)


LAYOUTS = pytest.mark.parametrize("write", [as_zip, write_folder])


# Reading.


def test_labels_follow_wnids_and_val_annotations(tmp_path: Path, files: Files) -> None:
    as_zip(tmp_path, files)
    data = ready(TinyImageNet(root=str(tmp_path)))
    assert data.num_images == {"train": 12, "test": 8}
    assert data.class_counts.tolist() == [3] * 4
    expected = {name: wnid for name in files if name.endswith(".JPEG") for wnid in WNIDS if f"/train/{wnid}/" in name}
    for line in files[f"{FOLDER}/val/val_annotations.txt"].decode().splitlines():
        name, wnid = line.split("\t")[:2]
        expected[f"{FOLDER}/val/images/{name}"] = wnid
    labels, images = open_store(data.store).labels.tolist(), open_store(data.store).images
    assert dict(zip(names(data.store), [WNIDS[label] for label in labels], strict=True)) == expected
    for name, image in zip(names(data.store), images, strict=True):
        assert np.array_equal(image, decode_image(files[name], (64, 64), "squash"))


def test_zip_and_folder_give_the_same_images_in_the_same_order(tmp_path: Path, files: Files) -> None:
    as_zip(tmp_path / "zip", files)
    write_folder(tmp_path / "folder", files)
    first, second = (open_store(ready(TinyImageNet(root=str(tmp_path / kind))).store) for kind in ("zip", "folder"))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert first.digest() == second.digest()


def test_classes_are_called_by_their_first_word_and_may_have_any_number_of_training_images(
    tmp_path: Path, files: Files
) -> None:
    files[f"{FOLDER}/train/{WNIDS[2]}/images/one_more.JPEG"] = jpeg(5)
    as_zip(tmp_path, files)
    data = ready(TinyImageNet(root=str(tmp_path)))
    assert data.class_names == [f"crane ({WNIDS[0]})", f"crane ({WNIDS[1]})", "word 2", "word 3"]
    assert data.class_counts.tolist() == [3, 3, 4, 3]
    images, labels = split(data, "train")
    gray = images[labels == 0]  # of the made-up images, the first class is gray
    assert torch.equal(gray[:, 0], gray[:, 1])
    assert torch.equal(gray[:, 0], gray[:, 2])


def test_nothing_is_extracted(tmp_path: Path, files: Files) -> None:
    outside = ["../evil.JPEG", f"{FOLDER}/train/../../../evil.JPEG", "/evil.JPEG", f"{FOLDER}/../../evil.JPEG"]
    as_zip(tmp_path / "root", files | dict.fromkeys(outside, b"evil"))
    assert ready(TinyImageNet(root=str(tmp_path / "root"))).num_images == {"train": 12, "test": 8}
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == [".packed", f"{FOLDER}.zip"]
    assert list(tmp_path.rglob("evil*")) == []


def test_bad_image_is_an_error_or_skipped_and_said(
    tmp_path: Path, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{FOLDER}/train/{WNIDS[1]}/images/{WNIDS[1]}_1.JPEG"
    as_zip(tmp_path, files | {name: b""})
    with pytest.raises(UsageError, match=rf"{name} is empty; .*--data.on_bad_image skip"):
        ready(TinyImageNet(root=str(tmp_path)))
    assert not (tmp_path / ".packed" / "tiny_imagenet").exists()
    data = ready(TinyImageNet(root=str(tmp_path), on_bad_image="skip"))
    assert data.class_counts.tolist() == [3, 2, 3, 3]
    assert f"1 image; {data.store}/manifest.json says why" in " ".join(capsys.readouterr().out.split())
    assert data.manifest().skipped == [f"{name}: is empty"]


# Pieces that are missing or do not fit.


def without(*starts: str) -> Callable[[Files], Files]:
    prefixes = tuple(f"{FOLDER}/{start}" for start in starts)
    return lambda files: {name: content for name, content in files.items() if not name.startswith(prefixes)}


def plus(name: str, content: bytes) -> Callable[[Files], Files]:
    return lambda files: files | {f"{FOLDER}/{name}": content}


MISTAKES: dict[str, tuple[Callable[[Files], Files], str]] = {
    "no wnids": (without("wnids.txt"), "wnids.txt (is not in the archive|cannot be read)"),
    "no words": (without("words.txt"), "words.txt (is not in the archive|cannot be read)"),
    "words that are not text": (
        plus("words.txt", b"\xff\xfe"),
        "words.txt is not UTF-8 text .invalid start byte at byte 0",
    ),
    "no annotations": (without("val/val_ann"), "val_annotations.txt (is not in the archive|cannot be read)"),
    "too few classes": (plus("wnids.txt", b"n1\nn2"), "wnids.txt names 2 classes, not 4"),
    "empty class": (without(f"train/{WNIDS[1]}"), f"has no training images of {WNIDS[1]}"),
    "unknown class": (plus("train/n1/images/a.JPEG", b""), "train/n1/images/a.JPEG is of a class that wnids.txt does"),
    "validation image missing": (without("val/images/val_3"), "lacks .*val_3.JPEG, which val_annotations.txt names"),
    "validation image without label": (plus("val/images/a.JPEG", b""), "a.JPEG is not named by val_annotations.txt"),
    "unknown label": (plus("val/val_annotations.txt", b"val_0.JPEG\tn1\t0"), "names n1, which wnids.txt does not"),
    "label cut off": (plus("val/val_annotations.txt", b"val_0.JPEG"), "names , which wnids.txt does not"),
}


@LAYOUTS
@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_missing_is_named_with_what_to_do(
    tmp_path: Path, files: Files, write: Callable[[Path, Files], None], mistake: str
) -> None:
    change, message = MISTAKES[mistake]
    write(tmp_path, change(files))
    with pytest.raises(UsageError, match=rf"{message}.*; put the official archive of .* there"):
        ready(TinyImageNet(root=str(tmp_path)))
    assert not (tmp_path / ".packed" / "tiny_imagenet").exists()


def test_truncated_archive_is_named(tmp_path: Path, files: Files) -> None:
    as_zip(tmp_path, files)
    archive = tmp_path / f"{FOLDER}.zip"
    archive.write_bytes(archive.read_bytes()[:-1000])
    with pytest.raises(UsageError, match=rf"{archive} is truncated or not a zip archive .*; download it again"):
        ready(TinyImageNet(root=str(tmp_path)))


def test_root_that_is_the_official_folder_itself_is_named(tmp_path: Path, files: Files) -> None:
    write_folder(tmp_path, files)
    with pytest.raises(UsageError, match=r"wnids.txt shows that this is the folder tiny-imagenet-200 itself"):
        TinyImageNet(root=str(tmp_path / FOLDER)).prepare_data()


def test_text_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path, files: Files) -> None:
    as_zip(tmp_path, files)
    archive = tmp_path / f"{FOLDER}.zip"
    with zipfile.ZipFile(archive) as members:
        size = members.getinfo(f"{FOLDER}/wnids.txt").file_size.to_bytes(4, "little")
    content = bytearray(archive.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(f"{FOLDER}/wnids.txt".encode()))
    assert content[entry + 24 : entry + 28] == size  # of the unpacked file, in the archive's directory
    content[entry + 24 : entry + 28] = (4_000_000_000).to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(UsageError, match=rf"{archive}/{FOLDER}/wnids.txt has 4,000 MB, .*; put the official archive"):
        ready(TinyImageNet(root=str(tmp_path)))


# Downloading; the archive lies on this machine.


@pytest.mark.parametrize("right", [True, False])
def test_archive_is_downloaded_and_verified(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    as_zip(tmp_path / "server", files)
    source = tmp_path / "server" / f"{FOLDER}.zip"
    monkeypatch.setattr(tiny_imagenet, "URL", source.as_uri())
    monkeypatch.setattr(tiny_imagenet, "MD5", hashlib.md5(source.read_bytes()).hexdigest() if right else "0" * 32)
    root = tmp_path / "root"
    data = TinyImageNet(root=str(root), download=True)
    if right:
        assert ready(data).num_images == {"train": 12, "test": 8}
        assert (root / f"{FOLDER}.zip").read_bytes() == source.read_bytes()
        return
    with pytest.raises(UsageError, match=rf"MD5 {'0' * 32} expected.*try again later"):
        data.prepare_data()
    monkeypatch.setattr(tiny_imagenet, "URL", "file:///nowhere.zip")
    with pytest.raises(UsageError, match=rf"file:///nowhere.zip could not be downloaded .*put it into {root}"):
        data.prepare_data()
    assert not root.exists()


# The real images.


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyImageNet]:
    if "SBN_TINY_IMAGENET_ZIP" not in os.environ:
        pytest.skip("SBN_TINY_IMAGENET_ZIP does not name a part of the official archive")
    root = tmp_path_factory.mktemp("real")
    (root / f"{FOLDER}.zip").symlink_to(Path(os.environ["SBN_TINY_IMAGENET_ZIP"]).resolve())
    yield ready(TinyImageNet(root=str(root)))
    shutil.rmtree(root)  # 246 MB


def test_real_images_are_of_200_classes_with_the_known_mean_and_std(real: TinyImageNet) -> None:
    assert real.num_images == {"train": 10_000, "test": 10_000}
    assert real.class_counts.tolist() == [50] * 200
    assert torch.bincount(split(real, "test")[1]).tolist() == [50] * 200
    assert real.class_names[:2] == ["Egyptian cat", "reel"]
    assert len(set(real.class_names)) == 200
    # Of all 100,000 training images, as often cited; a tenth of them lies within 0.002.
    assert real.manifest().mean == pytest.approx([0.4802, 0.4481, 0.3975], abs=2e-3)
    assert real.manifest().std == pytest.approx([0.2770, 0.2691, 0.2821], abs=2e-3)


def test_real_gray_images_became_rgb(real: TinyImageNet) -> None:
    images, _ = split(real, "train")
    gray = [(image[0] == image[1]).all() and (image[0] == image[2]).all() for image in images]
    assert 0.01 < np.mean(gray) < 0.03
    with zipfile.ZipFile(os.environ["SBN_TINY_IMAGENET_ZIP"]) as archive:
        name = next(name for name in sorted(archive.namelist()) if "/train/" in name and name.endswith(".JPEG"))
        assert np.array_equal(images[0], decode_image(archive.read(name), (64, 64), "squash"))
