"""Image files of every kind become pixels."""

import io
import struct
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import simplejpeg
from pictures import SIZE, by_pillow, by_us, encoded, picture
from PIL import Image, ImageCms, features

from sbn_lightning.data.decode import Fit, decode, formats
from sbn_lightning.data.sources import BadImage


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# What is read.


JPEG_OPTIONS: list[dict] = [
    {}, {"quality": 30}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1},
    {"optimize": True, "comment": b"x" * 70}, {"restart_marker_rows": 1},
]  # fmt: skip


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", JPEG_OPTIONS)
def test_plain_jpeg_has_pillows_pixels_without_pillow(
    mode: str, options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [encoded(picture(mode, seed=seed), "JPEG", **options) for seed in range(5)]
    expected = [by_pillow(content) for content in contents]
    monkeypatch.setattr(Image, "open", None)
    assert all(np.array_equal(by_us(content), pixels) for content, pixels in zip(contents, expected, strict=True))


def jpeg_with_warning() -> bytes:
    """A JPEG with bytes between two segments that do not belong there, which decoders only warn of."""
    content = encoded(picture(), "JPEG")
    start = content.index(b"\xff\xda")
    return content[:start] + b"\0\0\0" + content[start:]


UNUSUAL_JPEGS: dict[str, Callable[[], bytes]] = {
    "CMYK": lambda: encoded(picture("CMYK"), "JPEG"),
    "RGB without conversion": lambda: encoded(picture(), "JPEG", keep_rgb=True),
    "upright by EXIF": lambda: encoded(picture(), "JPEG", exif=with_orientation(1)),
    "stray bytes": jpeg_with_warning,
}


@pytest.mark.parametrize("unusual", UNUSUAL_JPEGS)
def test_unusual_jpeg_is_left_to_pillow(unusual: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = UNUSUAL_JPEGS[unusual]()
    decoded: list[np.ndarray] = []
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *args: decoded.append(decode(*args)) or decoded[-1])
    assert np.array_equal(by_us(content), by_pillow(content))
    assert decoded == []


def test_pillow_warns_in_no_thread_and_the_filters_stay_as_they_were() -> None:
    content = encoded(picture(), "TIFF")[:12]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        with pytest.raises(UserWarning, match="Corrupt"):
            Image.open(io.BytesIO(content))
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(reason, [content] * 200)) == {"is not an image in a supported format"}
        assert warnings.filters == filters


def reason(content: bytes) -> str:
    with pytest.raises(BadImage) as refused:
        by_us(content)
    return str(refused.value)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_other_formats_have_pillows_pixels(file_format: str, mode: str) -> None:
    content = encoded(picture(mode), file_format)
    assert np.array_equal(by_us(content), by_pillow(content))


def test_cmyk_becomes_rgb() -> None:
    content = encoded(picture("CMYK"), "JPEG", quality=95)
    assert np.abs(by_us(content).astype(int) - by_pillow(encoded(picture()))).mean() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (64, 64)])
def test_image_is_turned_as_exif_says(orientation: int, file_format: str, shape: tuple[int, int]) -> None:
    stored = picture(height=shape[0], width=shape[1])
    # EXIF 2.3, tag Orientation: where the stored image's first row and first column belong.
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }[orientation]  # fmt: skip
    upright = stored if undo is None else stored.transpose(undo)
    pixels = by_us(
        encoded(stored, file_format, exif=with_orientation(orientation), quality=95),
        size=(upright.height, upright.width),
    )
    assert np.abs(pixels.astype(int) - np.asarray(upright).transpose(2, 0, 1)).mean() < 5  # pixels


def odd_exif() -> bytes:
    """Orientation 6, and a resolution of -1/0 in a tag that holds no negative numbers: Pillow cannot write it again."""
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    resolution = struct.pack("<HHII", 0x011A, 10, 1, 8 + 2 + 2 * 12 + 4)
    tags = struct.pack("<H", 2) + orientation + resolution + struct.pack("<I", 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + tags + struct.pack("<ii", -1, 0)


@pytest.mark.parametrize("exif", [odd_exif(), b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_sound_photo_with_odd_exif_is_sound(exif: bytes) -> None:
    stored = picture()
    pixels = by_us(encoded(stored, "JPEG", exif=exif, quality=95), size=(64, 48) if exif == odd_exif() else SIZE)
    upright = stored.transpose(Image.Transpose.ROTATE_270) if exif == odd_exif() else stored
    assert np.abs(pixels.astype(int) - np.asarray(upright).transpose(2, 0, 1)).mean() < 5  # pixels


def profile_with_red_and_green_swapped() -> bytes:
    """An ICC profile in which (255, 0, 0) is sRGB's green."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = content.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_colours_are_those_of_the_icc_profile(file_format: str) -> None:
    red = Image.new("RGB", (64, 48), (255, 0, 0))
    lossless = {"lossless": True} if file_format == "WEBP" else {}
    content = encoded(red, file_format, icc_profile=profile_with_red_and_green_swapped(), **lossless)
    pixels = by_us(content)[:, 20, 20].astype(int)
    assert np.abs(pixels - [0, 255, 0]).max() <= 3


@pytest.mark.parametrize("profile", [b"damaged", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_icc_profile_that_is_srgb_damaged_or_of_other_channels_changes_nothing(profile: bytes, mode: str) -> None:
    content = encoded(picture(mode), "JPEG", icc_profile=profile)
    assert np.array_equal(by_us(content), by_pillow(content))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_transparent_parts_are_white(mode: str, alpha: int) -> None:
    image = Image.new("L", (64, 48), 100).convert(mode)
    image.putalpha(alpha)
    expected = round((100 * alpha + 255 * (255 - alpha)) / 255)
    assert np.abs(by_us(encoded(image)).astype(int) - expected).max() <= 1


def test_transparent_colour_of_a_palette_or_gray_level_is_white() -> None:
    image = Image.new("P", (64, 48), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 32, 48))
    pixels = by_us(encoded(image, transparency=0))
    assert (pixels[:, :, :32] == 255).all()
    assert pixels[:, 0, 40].tolist() == [10, 20, 30]
    assert (by_us(encoded(Image.new("L", (64, 48), 7), transparency=7)) == 255).all()


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_gray_keeps_its_upper_8_bits(file_format: str) -> None:
    levels = np.linspace(0, 65_535, 48 * 64).astype(np.uint16).reshape(48, 64)
    assert np.array_equal(by_us(encoded(Image.fromarray(levels), file_format)), np.stack([levels >> 8] * 3))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_gray_levels_of_fewer_bits_keep_the_upper_8_of_these(bits: int) -> None:
    levels = np.linspace(0, 2**bits - 1, 48 * 64).astype(np.uint16).reshape(48, 64)
    decoded = decode(encoded(Image.fromarray(levels)), SIZE, "squash", bits)
    assert np.array_equal(decoded.pixels, np.stack([levels >> (bits - 8)] * 3))
    assert (decoded.highest, decoded.is_colour) == (2**bits - 1, False)


def test_pgm_is_scaled_by_the_highest_level_that_it_names() -> None:
    content = b"P5 64 48 4095\n" + np.full((48, 64), 4095, ">u2").tobytes()
    assert (by_us(content) == 255).all()


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "WEBP", "PNG"])
def test_animation_gives_its_first_frame(file_format: str) -> None:
    frames = [picture(seed=seed) for seed in range(3)]
    lossless = {"lossless": True} if file_format == "WEBP" else {}
    content = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **lossless)
    assert np.array_equal(by_us(content), by_pillow(encoded(frames[0], file_format, **lossless)))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow does not read AVIF")
def test_avif_is_read() -> None:
    content = encoded(picture(), "AVIF")
    assert np.array_equal(by_us(content), by_pillow(content))


def test_heic_is_read_where_pillow_heif_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def register() -> None:
        monkeypatch.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])

    formats.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=register))
    assert "HEIF" in formats()
    formats.cache_clear()
    monkeypatch.undo()
    assert "HEIF" not in formats()


# Other shapes.


def stripes() -> bytes:
    """32 high, 96 wide: a third red, a third green, a third blue."""
    image = Image.new("RGB", (96, 32), (255, 0, 0))
    image.paste((0, 255, 0), (32, 0, 64, 32))
    image.paste((0, 0, 255), (64, 0, 96, 32))
    return encoded(image)


RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
SHOWN: dict[Fit, dict[tuple[int, int], tuple[int, int, int]]] = {
    "crop": {(15, 2): GREEN, (15, 15): GREEN, (15, 27): GREEN},
    "squash": {(0, 2): RED, (15, 15): GREEN, (29, 27): BLUE},
    "letterbox": {(9, 2): BLACK, (15, 2): RED, (15, 15): GREEN, (15, 27): BLUE, (20, 15): BLACK},
}


@pytest.mark.parametrize("fit", SHOWN)
def test_image_of_another_shape_is_fitted(fit: Fit) -> None:
    pixels = by_us(stripes(), fit, (30, 30))
    assert {(y, x): tuple(pixels[:, y, x].tolist()) for y, x in SHOWN[fit]} == SHOWN[fit]


@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("shape", [(2, 2), (2, 500), (500, 2), (3000, 2000)])
def test_every_shape_fits(fit: Fit, shape: tuple[int, int]) -> None:
    by_us(encoded(picture(height=shape[0], width=shape[1]), "JPEG"), fit)
