"""Resizing inside the model, against Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from sbn_lightning.data.decode import fit_image
from sbn_lightning.deploy.export.fitted import Fitted
from sbn_lightning.run.identity import Fit

SIZES = [(48, 64), (100, 100), (37, 211), (211, 37), (300, 200), (20, 30), (61, 60), (2, 2)]  # height, width


@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("image_size", [(32, 32), (24, 40)])
def test_pixels_are_pillows_but_for_rounding(fit: Fit, image_size: tuple[int, int]) -> None:
    fitted, transposed = Fitted(image_size, fit), Fitted((image_size[1], image_size[0]), fit)
    for number, (height, width) in enumerate(SIZES):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height))
        pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1)[None].copy())
        columns_first, rows_first = fitted(pixels)[0], transposed(pixels.mT)[0].mT
        theirs = torch.from_numpy(fit_image(image, image_size, fit).pixels.copy()).int()
        assert columns_first.dtype == torch.uint8
        assert (columns_first.int() - theirs).abs().max() <= 1, (height, width)
        # Pillow 13 chooses which it does first.
        others = min((found != theirs).float().mean() for found in (columns_first, rows_first))
        assert others < 0.06, (height, width)


def test_image_of_the_right_size_stays_as_it_is() -> None:
    images = torch.randint(0, 256, (3, 3, 24, 40), dtype=torch.uint8)
    for fit in ("crop", "squash", "letterbox"):
        assert torch.equal(Fitted((24, 40), fit)(images), images)


def test_letterbox_adds_black_borders_of_pillows_width() -> None:
    images = torch.full((1, 3, 10, 33), 200, dtype=torch.uint8)
    (rows,) = Fitted((32, 32), "letterbox")(images)[0, 0, :, 16].nonzero(as_tuple=True)
    assert (rows.min(), rows.max()) == (11, 20)  # round(10 · 32 / 33) = 10 rows, below 22 // 2
