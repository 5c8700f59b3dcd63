"""Image files of every kind become pixels, or are refused with a reason."""

import io
import multiprocessing
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sbn_lightning.data.packing import sources as image_files
from sbn_lightning.data.packing.pack import write_store
from sbn_lightning.data.packing.sources import BadImage, FolderSource, ZipSource, decode_files, decode_image

SIZE = (48, 64)


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def picture(mode: str = "RGB", height: int = 48, width: int = 64, seed: int = 0) -> Image.Image:
    """Smooth and random, its four corners of different colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    coarse[0, 0], coarse[0, -1], coarse[-1, 0], coarse[-1, -1] = (250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)
    return Image.fromarray(coarse).resize((width, height)).convert(mode)


def by_pillow(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)


def by_us(content: bytes, fit: image_files.Fit = "squash", size: tuple[int, int] = SIZE) -> np.ndarray:
    pixels = decode_image(content, size, fit)
    assert pixels.shape == (3, *size)
    assert pixels.dtype == np.uint8
    return pixels


# What is read.


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options",
    [{}, {"quality": 30}, {"progressive": True}, {"subsampling": 0}, {"optimize": True, "comment": b"x" * 70}],
)
def test_jpeg_has_pillows_pixels(mode: str, options: dict) -> None:
    for seed in range(10):
        content = encoded(picture(mode, seed=seed), "JPEG", **options)
        assert np.array_equal(by_us(content), by_pillow(content))


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
    exif = Image.Exif()
    exif[0x0112] = orientation
    # EXIF 2.3, tag Orientation: where the stored image's first row and first column belong.
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }[orientation]  # fmt: skip
    upright = stored if undo is None else stored.transpose(undo)
    pixels = by_us(encoded(stored, file_format, exif=exif, quality=95), size=(upright.height, upright.width))
    assert np.abs(pixels.astype(int) - np.asarray(upright).transpose(2, 0, 1)).mean() < 5  # pixels


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_transparent_parts_are_white(mode: str, alpha: int) -> None:
    image = Image.new("L", (64, 48), 100).convert(mode)
    image.putalpha(alpha)
    expected = round((100 * alpha + 255 * (255 - alpha)) / 255)
    assert np.abs(by_us(encoded(image)).astype(int) - expected).max() <= 1


def test_transparent_colour_of_a_palette_is_white() -> None:
    image = Image.new("P", (64, 48), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 32, 48))
    pixels = by_us(encoded(image, transparency=0))
    assert (pixels[:, :, :32] == 255).all()
    assert pixels[:, 0, 40].tolist() == [10, 20, 30]


def test_transparent_gray_level_is_white() -> None:
    pixels = by_us(encoded(Image.new("L", (64, 48), 7), transparency=7))
    assert (pixels == 255).all()


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_gray_keeps_its_upper_8_bits(file_format: str) -> None:
    levels = np.linspace(0, 65_535, 48 * 64).astype(np.uint16).reshape(48, 64)
    assert np.array_equal(by_us(encoded(Image.fromarray(levels), file_format)), np.stack([levels >> 8] * 3))


def test_animation_gives_its_first_frame() -> None:
    frames = [picture(seed=seed) for seed in range(3)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(by_us(content), by_pillow(encoded(frames[0], "GIF")))


# Other shapes.


def stripes() -> bytes:
    """32 high, 96 wide: a third red, a third green, a third blue."""
    image = Image.new("RGB", (96, 32), (255, 0, 0))
    image.paste((0, 255, 0), (32, 0, 64, 32))
    image.paste((0, 0, 255), (64, 0, 96, 32))
    return encoded(image)


def colours(pixels: np.ndarray, *places: tuple[int, int]) -> list[tuple[int, ...]]:
    return [tuple(pixels[:, row, column].tolist()) for row, column in places]


RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def test_crop_keeps_the_middle() -> None:
    assert colours(by_us(stripes(), "crop", (16, 16)), (8, 1), (8, 8), (8, 14)) == [GREEN] * 3


def test_squash_changes_the_aspect_ratio() -> None:
    assert colours(by_us(stripes(), "squash", (30, 30)), (0, 2), (15, 15), (29, 27)) == [RED, GREEN, BLUE]


def test_letterbox_adds_black_borders() -> None:
    pixels = by_us(stripes(), "letterbox", (30, 30))
    assert colours(pixels, (9, 2), (15, 2), (15, 15), (15, 27), (20, 15)) == [BLACK, RED, GREEN, BLUE, BLACK]


@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("shape", [(2, 2), (2, 500), (500, 2), (3000, 2000)])
def test_every_shape_fits(fit: image_files.Fit, shape: tuple[int, int]) -> None:
    by_us(encoded(picture(height=shape[0], width=shape[1]), "JPEG"), fit)


# What is refused.


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


BAD_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"no image", "is no image of a known format"),
    "zeros": (lambda: bytes(1000), "is no image of a known format"),
    "truncated JPEG": (lambda: encoded(picture(), "JPEG")[:-200], "is truncated or damaged"),
    "JPEG of a header only": (lambda: encoded(picture(), "JPEG")[:200], "damaged|no image"),
    "truncated PNG": (lambda: encoded(picture())[:-200], "is truncated or damaged"),
    "truncated GIF": (lambda: encoded(picture(), "GIF")[:500], "damaged|no image"),
    "1 × 1": (lambda: encoded(picture(height=1, width=1)), "has 1 × 1 pixels, which show nothing"),
    "1 × 1 JPEG": (lambda: encoded(picture(height=1, width=1), "JPEG"), "has 1 × 1 pixels, which show nothing"),
    "1 wide": (lambda: encoded(picture(height=50, width=1)), "has 1 × 50 pixels, which show nothing"),
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
        changed = bytearray(content)
        changed[position] = random.integers(256)
        for damaged in (bytes(changed), content[:position]):
            try:
                by_us(damaged)
            except BadImage:
                continue


# Many files.


def put_images(folder: Path, count: int) -> tuple[list[str], list[int]]:
    """Images of one gray level each, their number; names and labels in a mixed order."""
    (folder / "sub").mkdir(parents=True)
    for number in range(count):
        Image.new("L", (4, 4), number % 256).save(folder / f"sub/{number}.png")
    order = np.random.default_rng(0).permutation(count).tolist()
    return [f"sub/{number}.png" for number in order], [number % 10 for number in order]


def zipped(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*.png")):
            file.write(path, path.relative_to(folder).as_posix())
    return archive


def sources(folder: Path) -> list[image_files.Source]:
    return [FolderSource(folder), ZipSource(zipped(folder))]


@pytest.mark.parametrize("count", [1, 127, 128, 129, 700])
def test_files_are_decoded_in_their_order(tmp_path: Path, count: int) -> None:
    names, labels = put_images(tmp_path / "images", count)
    for source in sources(tmp_path / "images"):
        decoded = decode_files(source, names, labels, (4, 4))
        chunks = list(decoded.chunks)
        assert decoded.num_images == count
        assert decoded.skipped == []
        assert np.concatenate([part for _, part in chunks]).tolist() == labels
        images = np.concatenate([part for part, _ in chunks])
        assert images[:, 1, 2, 3].tolist() == [int(Path(name).stem) % 256 for name in names]


@pytest.mark.parametrize("count", [20, 700])
def test_bad_image_is_an_error_that_names_the_file_and_the_way_out(tmp_path: Path, count: int) -> None:
    names, labels = put_images(tmp_path / "images", count)
    (tmp_path / "images" / names[count // 2]).write_bytes(b"")
    for source in sources(tmp_path / "images"):
        decoded = decode_files(source, names, labels, (4, 4))
        message = rf"{source.path}/{names[count // 2]} is empty; .*--data.on_bad_image skip"
        with pytest.raises(BadImage, match=message) as caught:
            list(decoded.chunks)
        assert multiprocessing.active_children() == []
        assert caught


def test_bad_images_are_skipped_and_listed_if_that_is_asked_for(tmp_path: Path) -> None:
    names, labels = put_images(tmp_path / "images", 300)
    bad = {3: b"", 129: b"text", 299: png_of_claimed_size(20_000, 20_000)}
    for position, content in bad.items():
        (tmp_path / "images" / names[position]).write_bytes(content)
    for source in sources(tmp_path / "images"):
        decoded = decode_files(source, names, labels, (4, 4), on_bad_image="skip")
        kept = np.concatenate([part for _, part in decoded.chunks]).tolist()
        assert kept == [label for position, label in enumerate(labels) if position not in bad]
        assert [line.partition(": ")[0] for line in decoded.skipped] == [names[position] for position in bad]
        assert decoded.skipped[0] == f"{names[3]}: is empty"


def test_file_that_is_not_there_is_a_bad_image(tmp_path: Path) -> None:
    put_images(tmp_path / "images", 2)
    folder, archive = sources(tmp_path / "images")
    with pytest.raises(BadImage, match=r"cannot be read \(No such file or directory\)"):
        folder.read("sub/2.png")
    with pytest.raises(BadImage, match="is not in the archive"):
        archive.read("sub/2.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_a_bad_image(tmp_path: Path) -> None:
    put_images(tmp_path, 1)
    (tmp_path / "sub/0.png").chmod(0)
    with pytest.raises(BadImage, match=r"cannot be read \(Permission denied\)"):
        FolderSource(tmp_path).read("sub/0.png")


def test_damaged_member_is_a_bad_image_and_a_truncated_archive_an_error(tmp_path: Path) -> None:
    put_images(tmp_path / "images", 20)
    archive = zipped(tmp_path / "images")
    content = bytearray(archive.read_bytes())
    content[60:70] = bytes(10)
    archive.write_bytes(content)
    with pytest.raises(BadImage, match="cannot be read from the archive"):
        ZipSource(archive).read("sub/0.png")
    archive.write_bytes(content[:-50])
    with pytest.raises(ValueError, match=rf"{archive} is truncated or no zip archive"):
        ZipSource(archive).read("sub/0.png")


def test_processes_end_when_the_reader_stops(tmp_path: Path) -> None:
    names, labels = put_images(tmp_path / "images", 2000)
    chunks = iter(decode_files(FolderSource(tmp_path / "images"), names, labels, (4, 4)).chunks)
    next(chunks)
    assert multiprocessing.active_children()
    chunks.close()
    assert multiprocessing.active_children() == []


def test_processes_end_when_the_store_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, labels = put_images(tmp_path / "images", 2000)
    decoded = decode_files(FolderSource(tmp_path / "images"), names, labels, (4, 4))
    with pytest.raises(ValueError, match="labels reach") as caught:
        write_store(tmp_path / "store", {}, ["only one class"], {"train": decoded})
    assert caught
    assert multiprocessing.active_children() == []
