"""Files of a folder or an archive are read up to a limit, and only if they are files."""

import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from sbn_lightning.data.sources import MAX_BYTES, MAX_TEXT, BadImage, FolderSource, ZipSource, read_text
from sbn_lightning.errors import UsageError


@pytest.fixture
def archive(tmp_path: Path) -> ZipSource:
    file = tmp_path / "files.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("sub/0", bytes(100))
    return ZipSource(file)


def test_file_that_is_not_there_or_may_not_be_read_is_a_bad_image(tmp_path: Path, archive: ZipSource) -> None:
    with pytest.raises(BadImage, match=r"cannot be read \(No such file or directory\)"):
        FolderSource(tmp_path).read("sub/20")
    with pytest.raises(BadImage, match="is not in the archive"):
        archive.read("sub/20")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes on this system")
def test_pipes_devices_and_folders_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "endless.png", "folder.png"):
        with pytest.raises(BadImage, match="is not a regular file"):
            FolderSource(tmp_path).read(name)


def test_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(4_000_000_000)  # takes no room
    with pytest.raises(BadImage, match="has 4,000 MB, more than the 256 MB that are read"):
        FolderSource(tmp_path).read("large.png")


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive whose member unpacks to 300 MB of zeros."""
    file = tmp_path_factory.mktemp("bomb") / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members, members.open("zeros", "w") as member:
        for _ in range(300):
            member.write(bytes(1_000_000))
    return file


def test_large_member_is_refused_before_it_is_unpacked(bomb: Path) -> None:
    with pytest.raises(BadImage, match="has 300 MB, more than the 256 MB that are read"):
        ZipSource(bomb).read("zeros")
    with pytest.raises(UsageError, match=r"bomb.zip/zeros has 300 MB, more than the 16 MB that are read; get it"):
        read_text(ZipSource(bomb), "zeros", "get it")
    assert MAX_BYTES == 16 * MAX_TEXT


def test_member_that_is_larger_than_it_says_is_not_unpacked_beyond_that(bomb: Path, tmp_path: Path) -> None:
    size = (300_000_000).to_bytes(4, "little")
    content = bomb.read_bytes()
    assert content.count(size) == 2
    (tmp_path / "lie.zip").write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    tracemalloc.start()
    with pytest.raises(BadImage, match=r"cannot be read from the archive \(Bad CRC-32"):
        ZipSource(tmp_path / "lie.zip").read("zeros")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


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


def test_member_that_is_compressed_in_another_way_is_a_bad_image(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as members:
        members.writestr("0", b"0")
    with pytest.raises(BadImage, match="is compressed by method 14; only stored and deflated files are read"):
        ZipSource(tmp_path / "a.zip").read("0")


TEXTS = {
    "UTF-16": ("n01\nn02".encode("utf-16"), r"invalid start byte at byte 0"),
    "UTF-16 without its mark": ("n01\nn02".encode("utf-16-le"), "it contains zero bytes, as UTF-16 does"),
    "Latin-1": ("café".encode("latin-1"), "unexpected end of data at byte 3"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_is_not_utf_8_is_an_error_that_names_it_and_what_to_do(text: str, tmp_path: Path) -> None:
    content, reason = TEXTS[text]
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(UsageError, match=rf"{tmp_path}/words.txt is not UTF-8 text \({reason}\); get it again"):
        read_text(FolderSource(tmp_path), "words.txt", "get it again")


def test_text_may_begin_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes("n01".encode("utf-8-sig"))
    assert read_text(FolderSource(tmp_path), "words.txt", "") == "n01"
