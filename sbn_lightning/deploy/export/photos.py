"""The images on which an exported file is compared with its checkpoint: real ones wherever there are any."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.decode import fit_image
from sbn_lightning.data.levels import decode_alone, fit_alone
from sbn_lightning.data.sources import FolderSource
from sbn_lightning.deploy.named_files import NamedFiles
from sbn_lightning.errors import UsageError, counted, printable
from sbn_lightning.run.identity import TrainedOn

MOST_OF_RUN, MOST_FILES, MOST_ORIGINALS = 300, 1000, 100
"""Images of the test set, files that a user names, and images of other sizes, that are compared."""


class Photo(NamedTuple):
    """An image of any size, and the same image as the checkpoint receives it; both uint8 (3, height, width)."""

    original: Tensor
    fitted: Tensor


class Photos(NamedTuple):
    """Images to compare on.

    Attributes:
        pixels: (N, 3, H, W) uint8, of the model's size.
        text: Which ones they are.
        originals: Images of other sizes, each read when its turn comes; none if the model does not take them.
        originals_text: Which ones these are, to be read after their number.
    """

    pixels: Tensor
    text: str
    originals: Iterable[Photo] = ()
    originals_text: str = ""


def named_photos(places: Sequence[str], data: TrainedOn, any_size: bool) -> Photos:
    """Return the photos that a user names, see `NamedFiles`. Files that are not images are left out."""
    files = [Path(file.path) for file in NamedFiles(places, data.class_names) if not file.error]
    found = evenly(files, MOST_FILES)
    pixels = [photo.fitted for photo in each_photo(found, data)]
    if not pixels:
        raise UsageError(f"there are no images in {printable(' '.join(places))}; name others with --images DIR")
    originals = each_photo(evenly(found, MOST_ORIGINALS), data) if any_size else ()
    return Photos(torch.stack(pixels), counted(len(pixels), "photo"), originals, "of them")


def photos_of_run(data: ImageDataModule, trained_on: TrainedOn, any_size: bool) -> Photos:
    """Return images of the test set, evenly spaced. Images of other sizes are the photos' own files or, where there are
    none, test images that are enlarged."""
    count = data.num_images["test"]
    rows = evenly(range(count), MOST_OF_RUN)
    pixels = data.stored_images("test", torch.tensor(rows))
    text = f"{len(rows):,} of the {count:,} test images" if len(rows) < count else f"the {count:,} test images"
    if not any_size:
        return Photos(pixels, text)
    names = data.image_names("test")
    files = [file for row in evenly(rows, MOST_ORIGINALS) if (file := data.root / names[row]).is_file()]
    if files:
        return Photos(pixels, text, each_photo(files, trained_on), "files of test images")
    return Photos(pixels, text, each_enlarged(pixels, trained_on), "test images, enlarged to other sizes")


def random_photos(trained_on: TrainedOn, any_size: bool) -> Photos:
    """Return images of random pixels, the same each time, for a model without real images."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (64, 3, *trained_on.image_size), generator=generator, dtype=torch.uint8)
    text = "64 images of random pixels, since there are no others here"
    return Photos(
        pixels, text, each_enlarged(pixels, trained_on) if any_size else (), "of them, enlarged to other sizes"
    )


def each_photo(files: Iterable[Path], data: TrainedOn) -> Iterator[Photo]:
    """Read files one by one; those that are not images are left out."""
    for file in files:
        if photo := read_photo(file, data):
            yield photo


def each_enlarged(pixels: Tensor, data: TrainedOn) -> Iterator[Photo]:
    """Enlarge some of the images (N, 3, H, W) one by one."""
    for number, image in enumerate(evenly(list(pixels), MOST_ORIGINALS)):
        yield enlarged(image, number, data)


def read_photo(file: Path, data: TrainedOn) -> Photo | None:
    """Read an image file in its own size and as the checkpoint receives it; None if it cannot be used."""
    try:
        content = FolderSource(file.parent).read(file.name)
        fitted = decode_alone(content, data.image_size, data.fit, data.bits).pixels
        with Image.open(file) as opened:
            opened.draft(None, (2 * max(data.image_size),) * 2)  # as decode does
            upright = ImageOps.exif_transpose(opened)
        original = fit_alone(upright, (upright.height, upright.width), data.fit, data.bits).pixels
    except Exception:  # BadImage, or what Pillow raises for odd EXIF data
        return None
    return Photo(torch.from_numpy(original.copy()), torch.from_numpy(fitted.copy()))


def enlarged(image: Tensor, number: int, data: TrainedOn) -> Photo:
    """Enlarge an image (3, H, W) 1.5 to 4 times, to another shape, and let Pillow fit it in again."""
    height, width = data.image_size
    size = int(width * (1.5 + number % 7 / 3)), int(height * (1.5 + number % 5 / 2))
    large = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(size, Image.Resampling.BICUBIC)
    fitted = fit_image(large, data.image_size, data.fit).pixels
    return Photo(torch.from_numpy(np.asarray(large).transpose(2, 0, 1).copy()), torch.from_numpy(fitted.copy()))


def evenly(things: Sequence, at_most: int) -> list:  # type: ignore[type-arg]
    """Return the things, or `at_most` of them that are evenly spaced if there are more."""
    if len(things) <= at_most:
        return list(things)
    return [things[int(place)] for place in np.linspace(0, len(things) - 1, at_most)]
