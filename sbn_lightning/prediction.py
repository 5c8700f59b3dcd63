"""What `Classifier.predict` takes and gives: images of any kind, and class names with probabilities."""

from collections.abc import Iterable, Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sbn_lightning.data.levels import decode_alone, fit_alone
from sbn_lightning.data.sources import BadImage, FolderSource
from sbn_lightning.errors import UsageError, printable
from sbn_lightning.run.identity import TrainedOn

OneImage: TypeAlias = "str | PathLike[str] | Image.Image | np.ndarray | Tensor"
Images: TypeAlias = "OneImage | Iterable[OneImage]"


class Predictions(NamedTuple):
    """Of N images.

    Attributes:
        names: The most probable class of each.
        probabilities: (N, C) on the CPU, in the order of the model's `trained_on.class_names`.
    """

    names: list[str]
    probabilities: Tensor


def batches_of(images: Images, batch_size: int, data: TrainedOn) -> Iterator[Tensor]:
    """Yield pixels (n, 3, H, W) uint8 of the size of the training images, at most batch_size at a time."""
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; it must be at least 1")
    batch: list[Tensor] = []
    number = -1
    for number, image in enumerate(each(images)):
        batch.append(pixels_of(image, number, data))
        if len(batch) == batch_size:
            yield torch.stack(batch)
            batch = []
    if number < 0:
        raise UsageError("there are no images to classify; give at least one")
    if batch:
        yield torch.stack(batch)


def each(images: Images) -> Iterator[Any]:
    """Yield the images of what may be one image or several."""
    is_one = isinstance(images, str | PathLike | Image.Image) or not isinstance(images, Iterable)
    if isinstance(images, np.ndarray | Tensor):
        is_one = images.ndim < 4
    yield from [images] if is_one else images  # type: ignore[misc, list-item]


def pixels_of(image: Any, number: int, data: TrainedOn) -> Tensor:
    """Return one image as (3, H, W) uint8, fitted in as the training images were."""
    size = data.image_size
    if isinstance(image, str | PathLike):
        path = Path(fspath(image))
        try:
            return torch.from_numpy(
                decode_alone(FolderSource(path.parent).read(path.name), size, data.fit, data.bits).pixels.copy()
            )
        except BadImage as problem:
            raise UsageError(f"{printable(str(path))} {problem}; replace it, or leave it out") from problem
    where = f"image {number}"
    if isinstance(image, Tensor | np.ndarray) and image.dtype not in (np.uint8, torch.uint8):
        kind = str(image.dtype).removeprefix("torch.")
        raise UsageError(f"{where} has numbers of type {kind}; pixels are uint8, from 0 to 255")
    if isinstance(image, Tensor):
        if image.ndim == 3 and image.shape[0] != 3:
            raise UsageError(f"{where} is a tensor of shape {tuple(image.shape)}; a tensor has the shape (3, H, W)")
        image = (image.permute(1, 2, 0) if image.ndim == 3 else image).cpu().numpy()
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or 0 in image.shape:
            raise UsageError(f"{where} is an array of shape {image.shape}; an array has the shape (H, W) or (H, W, 3)")
        image = Image.fromarray(np.ascontiguousarray(image))
    if not isinstance(image, Image.Image):
        kinds = "a path, a PIL image, an array or a tensor"
        raise UsageError(f"{where} is of type {type(image).__name__}; an image is {kinds}")
    try:
        return torch.from_numpy(fit_alone(image, size, data.fit, data.bits).pixels.copy())
    except BadImage as problem:
        raise UsageError(f"{where} {problem}; replace it, or leave it out") from problem
