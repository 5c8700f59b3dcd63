"""Each image's own crop and flip."""

import pytest
import torch
from torch import Tensor

from sbn_lightning.data.augment.crop_flip import CropFlip, CropFlipDraws
from sbn_lightning.data.loader import keyed_generator
from sbn_lightning.errors import UsageError


def random_images(*shape: int) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def crop_and_flip_one(image: Tensor, padding: int, top: int, left: int, flip: bool) -> Tensor:
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=torch.uint8)
    padded[:, padding : padding + height, padding : padding + width] = image
    window = padded[:, top : top + height, left : left + width]
    return window.flip(2) if flip else window


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8), (5, 9), (9, 5), (1, 1)])
@pytest.mark.parametrize("padding", [0, 1, 4, 12])
def test_equals_slicing_and_mirroring_one_image_after_another(height: int, width: int, padding: int) -> None:
    images = random_images(40, 3, height, width)
    augmentation = CropFlip(padding)
    draws = augmentation.draw(40, keyed_generator(0))
    one_by_one = [
        crop_and_flip_one(image, padding, *offset.tolist(), flip.item())
        for image, offset, flip in zip(images, *draws, strict=True)
    ]
    augmented = augmentation(images, draws)
    assert augmented.dtype == torch.uint8
    assert torch.equal(augmented, torch.stack(one_by_one))


def test_window_in_the_corner_shows_the_zeros_around_the_image() -> None:
    image = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).expand(1, 3, 2, 2)
    corner = torch.tensor([[0, 0]])
    for flip, expected in ((False, [[0, 0], [0, 1]]), (True, [[0, 0], [1, 0]])):
        augmented = CropFlip(padding=1)(image, CropFlipDraws(corner, torch.tensor([flip])))
        assert augmented[0].tolist() == [expected] * 3


def test_equal_images_of_a_batch_get_crops_and_flips_of_their_own() -> None:
    images = random_images(1, 3, 16, 16).expand(64, 3, 16, 16)
    augmentation = CropFlip(padding=4)
    draws = augmentation.draw(64, keyed_generator(0))
    different_draws = {
        (top, left, flip) for (top, left), flip in zip(draws[0].tolist(), draws[1].tolist(), strict=True)
    }
    assert len(different_draws) > 30  # of 162; 64 independent draws hit 53 on average
    assert len(augmentation(images, draws).unique(dim=0)) == len(different_draws)


@pytest.mark.parametrize("padding", [1, 4])
def test_every_window_and_both_directions_occur_equally_often(padding: int) -> None:
    n = 100_000
    offsets, flips = CropFlip(padding).draw(n, keyed_generator(3))
    places = (2 * padding + 1) ** 2
    counts = torch.bincount(offsets[:, 0] * (2 * padding + 1) + offsets[:, 1], minlength=places)
    assert len(counts) == places
    standard_deviation = (n / places) ** 0.5  # of a count, as good as Poisson
    assert (counts - n / places).abs().max() < 5 * standard_deviation
    assert abs(flips.float().mean().item() - 0.5) < 5 * 0.5 / n**0.5


def test_neither_padding_nor_flip_changes_nothing() -> None:
    images, augmentation = random_images(20, 3, 6, 7), CropFlip(padding=0, flip=False)
    assert torch.equal(augmentation(images, augmentation.draw(20, keyed_generator(0))), images)


def test_arguments_are_not_changed() -> None:
    images, augmentation = random_images(20, 3, 6, 7), CropFlip()
    draws = augmentation.draw(20, keyed_generator(0))
    kept = images.clone(), draws.offsets.clone(), draws.flips.clone()
    augmentation(images, draws)
    assert all(torch.equal(now, before) for now, before in zip((images, *draws), kept, strict=True))


def test_negative_padding_is_refused() -> None:
    with pytest.raises(UsageError, match="crop_padding is -1; it is a number of pixels and must be 0 or more"):
        CropFlip(padding=-1)
