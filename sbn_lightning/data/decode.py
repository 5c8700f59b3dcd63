"""An image file of any usual format becomes upright 8-bit RGB pixels of one size, or is refused with a reason."""

import io
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from sbn_lightning.data.sources import BadImage
from sbn_lightning.run.identity import Fit

# Some of the other formats that Pillow opens start programs (EPS: Ghostscript), or are not of photos.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF")
MAX_PIXELS = 100_000_000  # a small file can claim a size that takes all memory to decode
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What undoes each value of EXIF's tag Orientation."""
TOO_MANY = f"more than {MAX_PIXELS // 10**6} million pixels"


class Decoded(NamedTuple):
    """An image as pixels.

    Attributes:
        pixels: (3, H, W) uint8.
        highest: The highest level of an image of more than 8 bits, from 0 to 65,535; of the others 0.
        is_colour: Whether an image of more than 8 bits is in colour; Pillow gives only the upper 8 bits of these.
    """

    pixels: np.ndarray
    highest: int = 0
    is_colour: bool = False


@lru_cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that Pillow can open here; HEIF if the package pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener  # type: ignore[import-not-found]

        register_heif_opener()
    except ImportError:
        pass
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def decode_image(content: bytes, image_size: tuple[int, int], fit: Fit) -> np.ndarray:
    """The pixels of `decode`, with 16 bits."""
    return decode(content, image_size, fit).pixels


def decode(content: bytes, image_size: tuple[int, int], fit: Fit, bits: int = 16) -> Decoded:
    """Decode an image file and fit it into H × W pixels.

    What the file contains decides about its format, not its name. The image becomes RGB: turned as its EXIF data says,
    in the colours of its ICC profile, transparent parts white. Of an animation, the first frame.

    Args:
        content: The file.
        image_size: H and W.
        fit: For images of another shape: `squash` changes the aspect ratio, `crop` cuts off what lies outside the
            middle, `letterbox` adds black borders.
        bits: How many bits the levels of 16-bit gray images have, 8 to 16; their upper 8 bits are taken.

    Raises:
        BadImage: If it is empty, not an image, damaged, of more than 100 million pixels, less than 2 pixels wide or
            high (a placeholder, not a picture), or of numbers that are not gray levels from 0 to 65,535.
    """
    if not content:
        raise BadImage("is empty")
    pixels = _decode_plain_jpeg(content, image_size)
    if pixels is not None:
        return Decoded(pixels.transpose(2, 0, 1))
    with _reason_told():
        return _decoded(_opened(content, 2 * max(image_size)), image_size, fit, bits)


def fit_image(image: Image.Image, image_size: tuple[int, int], fit: Fit, bits: int = 16) -> Decoded:
    """Do with an image that Pillow has opened what `decode` does with a file. Where a file is a large JPEG, `decode`
    lets the decoder reduce it first, so that pixels differ a little."""
    with _reason_told():
        _check_size(image)
        return _decoded(image, image_size, fit, bits)


def _decoded(image: Image.Image, image_size: tuple[int, int], fit: Fit, bits: int) -> Decoded:
    height, width = image_size
    rgb, highest, is_colour = _to_rgb(image, bits)
    return Decoded(np.asarray(_fitted(rgb, (width, height), fit)).transpose(2, 0, 1), highest, is_colour)


def _decode_plain_jpeg(content: bytes, image_size: tuple[int, int]) -> np.ndarray | None:
    """Pillow's pixels, (H, W, 3), in four tenths of its time; None for anything but an undamaged gray or YCbCr JPEG of
    this size without EXIF data and colour profile."""
    if not content.startswith(b"\xff\xd8") or b"Exif\0\0" in content or b"ICC_PROFILE\0" in content:
        return None
    try:
        height, width, color_space, _ = simplejpeg.decode_jpeg_header(content)
        if (height, width) == image_size and color_space in ("Gray", "YCbCr"):
            return simplejpeg.decode_jpeg(content, "RGB")
    except ValueError:
        pass  # Pillow will say what is wrong
    return None


def _to_rgb(opened: Image.Image, bits: int) -> tuple[Image.Image, int, bool]:
    """The image in RGB and upright, and Decoded's other values."""
    # Pillow's name of the file's raw pixels; an image in memory has none.
    has_16_bits = any(";16" in str(tile[3]) for tile in getattr(opened, "tile", ()))
    opened.load()
    image, profile, highest = _upright(opened), opened.info.get("icc_profile"), 0
    is_colour = has_16_bits and not image.mode.startswith("I")
    if image.mode == "F":
        raise BadImage("holds floating-point numbers, which have no set black and white; convert it to 8 bits")
    if image.mode.startswith("I"):
        image, highest = _to_8_bits(image, bits)
    elif image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = _on_white(image.convert("RGBA"))
    elif image.mode not in ("L", "CMYK"):
        image = image.convert("RGB")
    image = _to_srgb(image, profile)
    if is_colour:
        highest = 256 * max(high for _, high in image.getextrema()) + 255  # type: ignore[misc]
    return image, highest, is_colour


class _Quiet:
    """Ignores Pillow's warnings, of odd data beside the pixels and of many pixels, while any thread decodes.

    `warnings.catch_warnings` alone is for one thread: the filters are those of the whole process.
    """

    def __init__(self) -> None:
        self._lock, self._threads, self._filters = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._threads:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._filters.close()


QUIET = _Quiet()


@contextmanager
def _reason_told() -> Iterator[None]:
    """Turn whatever Pillow raises into a BadImage."""
    try:
        with QUIET:
            yield
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage(f"has {TOO_MANY}") from error
    except UnidentifiedImageError as error:
        raise BadImage("is not an image in a supported format") from error
    except Exception as error:  # Pillow raises whatever damaged data leads it to
        raise BadImage(f"is truncated or damaged ({error})") from error


def _opened(content: bytes, enough: int) -> ImageFile.ImageFile:
    """The image of which only the header is read; a JPEG will be decoded no larger than it takes for `enough` pixels on
    each side."""
    image = Image.open(io.BytesIO(content), formats=formats())
    _check_size(image)
    image.draft(None, (enough, enough))
    return image


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(f"has {image.width} × {image.height}, {TOO_MANY}")
    if min(image.size) < 2:
        raise BadImage(f"has {image.width} × {image.height} pixels, too few to show anything")


def _upright(image: Image.Image) -> Image.Image:
    """The image as the Orientation of its EXIF data says; nothing else of these data is looked at."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow raises whatever odd data lead it to; the photo is sound all the same
        return image
    turn = TURNS.get(orientation or 1)
    return image.transpose(turn) if turn is not None else image


def _to_8_bits(image: Image.Image, bits: int) -> tuple[Image.Image, int]:
    """The upper 8 of the bits as an image in 8-bit gray, and the highest level; none has more bits."""
    lowest, highest = image.getextrema()
    if lowest < 0 or highest > 65_535:  # type: ignore[operator]
        raise BadImage("holds numbers beyond 16 bits; convert it to 8 bits")
    levels = np.asarray(image.convert("I;16") if image.mode == "I" else image)  # half the memory
    return Image.fromarray((levels >> (bits - 8)).astype(np.uint8)), int(highest)  # type: ignore[arg-type]


def _on_white(image: Image.Image) -> Image.Image:
    """An RGBA image before a white background, RGB."""
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image, mask=image)
    return canvas


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An RGB, CMYK or gray image in the colours that its ICC profile describes; without a usable one, as it is."""
    transform = _transform_to_srgb(profile, image.mode) if profile else None
    return image.convert("RGB") if transform is None else ImageCms.applyTransform(image, transform)  # type: ignore[return-value]


@lru_cache(maxsize=8)  # photos of one camera have the same
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What brings an image of this mode from its profile's colours to sRGB; None if it is in sRGB, or the profile is
    damaged or of another colour space."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _fitted(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    if image.size == size:
        return image
    if fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if fit == "squash":
        return image.resize(size, Image.Resampling.BILINEAR)
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(scale * image.width)), max(1, round(scale * image.height))
    canvas = Image.new("RGB", size)
    canvas.paste(image.resize(inner, Image.Resampling.BILINEAR), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return canvas
