"""Image files that are refused with a reason."""

import contextlib
import struct
import subprocess
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from pictures import by_us, encoded, picture
from PIL import Image

from sbn_lightning.data.sources import BadImage


def png_of_claimed_size(width: int, height: int) -> bytes:
    """A few bytes that claim to be a large image."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, data)
    )


def jpeg_of_claimed_size(width: int, height: int) -> bytes:
    content = bytearray(encoded(picture(), "JPEG"))
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(content)


# Formats that Pillow opens, some of them by starting another program.
OTHER_FORMATS = ["EPS", "TGA", "PCX", "ICO", "SGI", "PDF"]


@pytest.mark.parametrize("file_format", OTHER_FORMATS)
def test_only_formats_of_photos_are_opened(file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(picture(), file_format)

    def start(*arguments: object, **settings: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(BadImage, match="is not an image in a supported format"):
        by_us(content)


BAD_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"no image", "is not an image in a supported format"),
    "zeros": (lambda: bytes(1000), "is not an image in a supported format"),
    "truncated JPEG": (lambda: encoded(picture(), "JPEG")[:-200], "is truncated or damaged"),
    "JPEG of a header only": (lambda: encoded(picture(), "JPEG")[:200], "damaged|not an image"),
    "truncated PNG": (lambda: encoded(picture())[:-200], "is truncated or damaged"),
    "truncated GIF": (lambda: encoded(picture(), "GIF")[:500], "damaged|not an image"),
    "1 × 1": (lambda: encoded(picture(height=1, width=1)), "has 1 × 1 pixels, too few to show anything"),
    "1 × 1 JPEG": (lambda: encoded(picture(height=1, width=1), "JPEG"), "has 1 × 1 pixels, too few to show anything"),
    "1 wide": (lambda: encoded(picture(height=50, width=1)), "has 1 × 50 pixels, too few to show anything"),
    "101 million pixels": (lambda: png_of_claimed_size(10_100, 10_000), "more than 100 million pixels"),
    "400 million pixels": (lambda: png_of_claimed_size(20_000, 20_000), "more than 100 million pixels"),
    "4 billion pixels": (lambda: jpeg_of_claimed_size(65_000, 65_000), "more than 100 million pixels"),
    "floats": (lambda: encoded(Image.new("F", (64, 48), 0.5), "TIFF"), "holds floating-point numbers"),
    "32 bits": (lambda: encoded(Image.new("I", (64, 48), 70_000), "TIFF"), "holds numbers beyond 16 bits"),
}


@pytest.mark.parametrize("bad", BAD_FILES)
def test_bad_image_is_refused_with_the_reason(bad: str) -> None:
    make, message = BAD_FILES[bad]
    with pytest.raises(BadImage, match=message):
        by_us(make())


def test_jpeg_with_any_byte_changed_or_cut_off_is_decoded_or_refused() -> None:
    content = encoded(picture(), "JPEG")
    random = np.random.default_rng(0)
    for position in range(0, len(content), 7):
        changed = content[:position] + random.bytes(1) + content[position + 1 :]
        for damaged in (changed, content[:position]):
            with contextlib.suppress(BadImage):
                by_us(damaged)
