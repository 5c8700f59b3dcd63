"""All files of a folder or an archive are decoded by several processes, which end whatever happens."""

import multiprocessing
import os
import shutil
import signal
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from rich.progress import Progress

from sbn_lightning.data.decode_files import SMALLEST, OnBadImage, decode_files
from sbn_lightning.data.sources import FolderSource, Source, ZipSource
from sbn_lightning.errors import UsageError

# 300 images of one gray level each, their number, in a mixed order; and three files that are no images.
IMAGES = [f"sub/{number}.png" for number in np.random.default_rng(0).permutation(300)]
BAD = {"empty.png": b"", "text.png": b"text", "header.png": b"\x89PNG\r\n\x1a\n"}
Decode = Callable[..., list[str]]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    folder = tmp_path_factory.mktemp("sources") / "images"
    (folder / "sub").mkdir(parents=True)
    for name in IMAGES:
        Image.new("L", (4, 4), int(Path(name).stem) % 256).save(folder / name)
    for name, content in BAD.items():
        (folder / name).write_bytes(content)
    shutil.make_archive(str(folder), "zip", folder)
    archive = ZipSource(folder.with_suffix(".zip"))
    archive.archive.namelist()  # opened here, as by TinyImageNet, before the processes start
    return {"folder": FolderSource(folder), "archive": archive}


@pytest.fixture
def decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decode:
    """decode(source, names) into tmp_path/images.npy, by two processes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)

    def decode(source: Source, names: list[str], on_bad_image: OnBadImage = "error") -> list[str]:
        np.save(tmp_path / "images.npy", np.zeros((len(names), 3, 4, 4), np.uint8))
        problems, decode.bits = decode_files(source, names, tmp_path / "images.npy", "squash", on_bad_image)
        return problems

    return decode


@pytest.mark.parametrize("source", ["folder", "archive"])
@pytest.mark.parametrize("count", [2, SMALLEST, 3 * SMALLEST + 1])
def test_file_is_decoded_into_its_row(
    decode: Decode, sources: dict[str, Source], source: str, count: int, tmp_path: Path
) -> None:
    names = [*IMAGES[: count // 2], "text.png", *IMAGES[count // 2 : count]]
    problems = decode(sources[source], names, "skip")
    assert {name for name, problem in zip(names, problems, strict=True) if problem} == {"text.png"}
    levels = np.load(tmp_path / "images.npy")[:, 1, 2, 3].tolist()
    assert levels == [0 if name == "text.png" else int(Path(name).stem) % 256 for name in names]


@pytest.mark.parametrize("source", ["folder", "archive"])
@pytest.mark.parametrize("count", [20, 300])
def test_first_bad_image_is_an_error_that_names_the_way_out(
    decode: Decode, sources: dict[str, Source], source: str, count: int
) -> None:
    empty, text, header = BAD
    names = [*IMAGES[:3], empty, *IMAGES[3 : count // 2], text, *IMAGES[count // 2 : count], header]
    with pytest.raises(UsageError, match=rf"{sources[source].path}/{empty} is empty; .*on_bad_image skip") as caught:
        decode(sources[source], names)
    assert caught  # its traceback keeps everything alive
    assert multiprocessing.active_children() == []
    problems = decode(sources[source], names, "skip")
    assert [name for name, problem in zip(names, problems, strict=True) if problem] == list(BAD)


def put_levels(folder: Path, highest: int, in_colour: bool) -> list[str]:
    """Write 150 PNGs of 16 bits, of one level each from 0 to the highest."""
    names = [f"{number}.png" for number in range(150)]
    for name, level in zip(names, np.linspace(0, highest, 150).astype(int), strict=True):
        rows = 4 * (b"\0" + (12 if in_colour else 4) * int(level).to_bytes(2, "big"))
        header = struct.pack(">II5B", 4, 4, 16, 2 if in_colour else 0, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        content = [struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in chunks]
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))
    return names


@pytest.mark.parametrize(("highest", "bits"), [(255, 8), (700, 10), (4095, 12), (4096, 14), (65_535, 16)])
def test_16_bit_images_have_the_bits_of_the_highest_level_of_all_and_this_is_said(
    decode: Decode, tmp_path: Path, highest: int, bits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names = put_levels(tmp_path, highest, in_colour=False)
    Image.new("L", (4, 4), 77).save(tmp_path / "8_bits.png")
    assert decode(FolderSource(tmp_path), ["8_bits.png", *names]) == [""] * 151
    levels = np.linspace(0, highest, 150).astype(int) >> (bits - 8)
    assert np.load(tmp_path / "images.npy")[:, 1, 2, 3].tolist() == [77, *levels]
    assert f"149 16-bit images taken as {bits} bits, by the highest level" in capsys.readouterr().out
    assert decode.bits == bits


def test_16_bit_colours_of_fewer_bits_are_refused_since_they_would_be_black(decode: Decode, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"stores 12 bits in 16-bit colours .*; convert them to 8 bits"):
        decode(FolderSource(tmp_path), put_levels(tmp_path, 4000, in_colour=True))
    assert decode(FolderSource(tmp_path), put_levels(tmp_path, 65_535, in_colour=True)) == [""] * 150


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_interruption_ends_the_processes(
    decode: Decode,
    sources: dict[str, Source],
    monkeypatch: pytest.MonkeyPatch,
    interruption: type[BaseException],
) -> None:
    seen = []

    def interrupt(*_: object, **__: object) -> None:
        seen.extend(multiprocessing.active_children())
        raise interruption

    monkeypatch.setattr(Progress, "update", interrupt)
    with pytest.raises(interruption) as caught:
        decode(sources["folder"], IMAGES)
    assert len(seen) == 2
    assert caught
    assert multiprocessing.active_children() == []


def test_process_that_is_killed_is_an_error_that_says_so(decode: Decode, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(source: FolderSource, name: str) -> bytes:
        assert multiprocessing.parent_process() is not None
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    monkeypatch.setattr(FolderSource, "read", end)
    with pytest.raises(UsageError, match="a process that decodes images was killed"):
        decode(FolderSource(Path()), IMAGES)


def decode_for_ever(decode: Decode) -> None:
    os.setsid()  # so that a signal can be sent to this process and its children, as a terminal does
    FolderSource.read = lambda source, name: time.sleep(60)  # type: ignore[assignment,return-value,method-assign]
    decode(FolderSource(Path()), IMAGES)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_processes_end_with_their_parent(
    decode: Decode, stop: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    # Forked, since a new interpreter would spend its time on importing torch.
    parent = multiprocessing.get_context("fork").Process(target=decode_for_ever, args=(decode,))
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
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert capfd.readouterr().err.count("Traceback") == (1 if stop == signal.SIGINT else 0)  # the parent's only
