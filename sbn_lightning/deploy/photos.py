"""The images on which an exported file is compared with its checkpoint: real ones wherever there are any."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.decode import decode, fit_image
from sbn_lightning.data.sources import FolderSource
from sbn_lightning.errors import UsageError, counted, printable
from sbn_lightning.run.files import user_path
from sbn_lightning.run.identity import TrainedOn

MOST_OF_RUN, MOST_FILES, MOST_ORIGINALS = 300, 1000, 100
"""Images of the test set, files that a user names, and images of other sizes, that are compared."""


class Photo(NamedTuple):
    """An image of any size, and the same as the checkpoint gets it; both uint8 (3, height, width)."""

    original: Tensor
    fitted: Tensor


class Photos(NamedTuple):
    """Images to compare on.

    Attributes:
        pixels: (N, 3, H, W) uint8, of the model's size.
        text: Which ones they are.
        originals: Images of other sizes, if the model takes these.
        originals_text: Which ones these are.
    """

    pixels: Tensor
    text: str
    originals: Sequence[Photo] = ()
    originals_text: str = ""


def named_photos(places: Sequence[str], data: TrainedOn, any_size: bool) -> Photos:
    """Return the photos in files and folders that a user names. Files that are not images are left out."""
    found = evenly(files_in(places), MOST_FILES)
    photos = [photo for file in found if (photo := read_photo(file, data))]
    if not photos:
        raise UsageError(f"there are no images in {printable(' '.join(places))}; name others with --images DIR")
    text = counted(len(photos), "photo")
    return Photos(torch.stack([photo.fitted for photo in photos]), text, photos if any_size else (), text)


def photos_of_run(data: ImageDataModule, trained_on: TrainedOn, any_size: bool) -> Photos:
    """Return images of the test set, evenly spaced. Where they were not photos in files of their own, those of other
    sizes are made of them, by enlarging."""
    count = data.num_images["test"]
    rows = evenly(range(count), MOST_OF_RUN)
    pixels = data.stored_images("test", torch.tensor(rows))
    text = f"{len(rows):,} of the {count:,} test images" if len(rows) < count else f"the {count:,} test images"
    if not any_size:
        return Photos(pixels, text)
    names = data.image_names("test")
    files = [data.root / names[row] for row in evenly(rows, MOST_ORIGINALS)]
    photos = [photo for file in files if file.is_file() and (photo := read_photo(file, trained_on))]
    if photos:
        return Photos(pixels, text, photos, f"the files of {len(photos):,} test images")
    photos = [enlarged(image, number, trained_on) for number, image in enumerate(evenly(list(pixels), MOST_ORIGINALS))]
    return Photos(pixels, text, photos, f"{len(photos):,} test images, enlarged to other sizes")


def random_photos(trained_on: TrainedOn, any_size: bool) -> Photos:
    """Return images of random pixels, for want of real ones; the same each time."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (64, 3, *trained_on.image_size), generator=generator, dtype=torch.uint8)
    text = "64 images of random pixels, since there are no others here"
    photos = [enlarged(image, number, trained_on) for number, image in enumerate(pixels)] if any_size else []
    return Photos(pixels, text, photos, f"{text}, enlarged to other sizes")


def read_photo(file: Path, data: TrainedOn) -> Photo | None:
    """Read a file as it is, upright, and as the checkpoint gets it; None if it is not an image that can be used."""
    try:
        content = FolderSource(file.parent).read(file.name)
        fitted = decode(content, data.image_size, data.fit, data.bits or 16).pixels
        with Image.open(file) as opened:
            opened.draft(None, (2 * max(data.image_size),) * 2)  # as decode does
            upright = ImageOps.exif_transpose(opened)
        original = fit_image(upright, (upright.height, upright.width), data.fit, data.bits or 16).pixels
    except Exception:  # BadImage, or what Pillow raises for odd EXIF data
        return None
    return Photo(torch.from_numpy(original.copy()), torch.from_numpy(fitted.copy()))


def enlarged(image: Tensor, number: int, data: TrainedOn) -> Photo:
    """Return an image (3, H, W) at one and a half to four times its size, of another shape, and as Pillow fits it in
    again."""
    height, width = data.image_size
    size = int(width * (1.5 + number % 7 / 3)), int(height * (1.5 + number % 5 / 2))
    large = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(size, Image.Resampling.BICUBIC)
    fitted = fit_image(large, data.image_size, data.fit).pixels
    return Photo(torch.from_numpy(np.asarray(large).transpose(2, 0, 1).copy()), torch.from_numpy(fitted.copy()))


def files_in(places: Sequence[str]) -> list[Path]:
    """Return the files that are named, and those in the folders that are named, without hidden ones."""
    files: list[Path] = []
    for place in map(user_path, places):
        if not place.exists():
            raise UsageError(f"there is no {printable(str(place))}; name a folder of photos, or photos, with --images")
        inside = sorted(place.rglob("*")) if place.is_dir() else [place]
        files += [file for file in inside if file.is_file() and not file.name.startswith(".")]
    return files


def evenly(things: Sequence, at_most: int) -> list:  # type: ignore[type-arg]
    """Return so many of the things at most, evenly spaced."""
    if len(things) <= at_most:
        return list(things)
    return [things[int(place)] for place in np.linspace(0, len(things) - 1, at_most)]
