"""Image files in folders and zip archives."""

import os
import zipfile
from pathlib import Path

import pytest

from sbn_lightning.data.decode import BadImage, FolderSource, Source, ZipSource
from sbn_lightning.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> FolderSource:
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for number in range(20):
        (tmp_path / "images" / f"sub/{number}").write_bytes(bytes([number]) * 100)
    return FolderSource(tmp_path / "images")


@pytest.fixture
def archive(folder: FolderSource) -> ZipSource:
    file = folder.path.with_suffix(".zip")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        for path in sorted(folder.path.rglob("*")):
            members.write(path, path.relative_to(folder.path).as_posix())
    return ZipSource(file)


def test_files_are_read_by_name(folder: FolderSource, archive: ZipSource) -> None:
    sources: list[Source] = [folder, archive]
    for source in sources:
        assert [source.read(f"sub/{number}") for number in range(20)] == [bytes([n]) * 100 for n in range(20)]


def test_file_that_is_not_there_is_a_bad_image(folder: FolderSource, archive: ZipSource) -> None:
    with pytest.raises(BadImage, match=r"cannot be read \(No such file or directory\)"):
        folder.read("sub/20")
    with pytest.raises(BadImage, match="is not in the archive"):
        archive.read("sub/20")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_a_bad_image(folder: FolderSource) -> None:
    (folder.path / "sub/0").chmod(0)
    with pytest.raises(BadImage, match=r"cannot be read \(Permission denied\)"):
        folder.read("sub/0")


def test_damaged_member_is_a_bad_image_and_a_truncated_archive_an_error(archive: ZipSource) -> None:
    content = bytearray(archive.path.read_bytes())
    start = content.index(b"sub/0") + len("sub/0")
    content[start : start + 5] = bytes(5)
    archive.path.write_bytes(content)
    with pytest.raises(BadImage, match="cannot be read from the archive"):
        archive.read("sub/0")
    archive.path.write_bytes(content[:-50])
    with pytest.raises(UsageError, match=rf"{archive.path} is truncated or not a zip archive .*; download it again"):
        ZipSource(archive.path).read("sub/0")
