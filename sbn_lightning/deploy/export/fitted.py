"""Images of any size are brought to the size that a model was trained on, inside the model: as Pillow does it."""

import torch
from torch import Tensor, nn

from sbn_lightning.run.identity import Fit


class Fitted(nn.Module):
    """Resize images (N, 3, h, w) of any one size to H × W pixels, as `data.decode` does it with Pillow.

    Both directions are one matrix product each, first the columns, then the rows. Row i of a matrix holds how much each
    of the old pixels counts for the new pixel i, which lies at c = start + (i + 1/2) · step in the old image:

        weight[i, j] ∝ max(0, 1 - |j + 1/2 - c| / max(step, 1)),    Σ_j weight[i, j] = 1

    This is the triangle filter of Pillow's `Image.resize(size, BILINEAR)`, which widens where the image shrinks
    (antialiasing). As there, pixels are rounded to whole levels after each direction; few differ, by one level, since
    Pillow computes with integers. Pillow 13 begins with the rows where that is much less work, as for an image that is
    far higher than wide: there up to a quarter of the pixels differ by one level.

    Args:
        image_size: H and W, pixels.
        fit: For images of another shape: `squash` changes the aspect ratio, `crop` cuts off what lies outside the
            middle, `letterbox` adds black borders.
    """

    def __init__(self, image_size: tuple[int, int], fit: Fit) -> None:
        super().__init__()
        self.height, self.width = image_size
        self.fit = fit

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, h, w) -> uint8 (N, 3, H, W)."""
        old_height, old_width = (_as_tensor(side, images.device) for side in images.shape[-2:])
        height, width = self.height, self.width
        new_height, new_width = torch.full_like(old_height, height), torch.full_like(old_width, width)
        used_height, used_width = old_height, old_width
        if self.fit == "crop":
            used_height = torch.minimum(old_height, old_width / (width / height))
            used_width = torch.minimum(old_width, old_height * (width / height))
        elif self.fit == "letterbox":
            scale = torch.minimum(new_height / old_height, new_width / old_width)
            new_height, new_width = ((scale * old).round().clamp(min=1) for old in (old_height, old_width))
        rows = _weights(height, new_height, used_height, old_height, images.shape[-2])
        columns = _weights(width, new_width, used_width, old_width, images.shape[-1])
        levels = _whole(images.float() @ columns.T)
        return _whole(rows @ levels).to(torch.uint8)


def _as_tensor(side: int, device: torch.device) -> Tensor:
    """A number that an exported program may only know when it runs, as float64, in which Python computes."""
    return torch.ones(side, dtype=torch.float64, device=device).sum()


def _whole(levels: Tensor) -> Tensor:
    """Levels rounded as Pillow does it: halves up, also where float32 is a little below."""
    return (levels + (0.5 + 1e-5)).floor()


def _weights(size: int, new: Tensor, used: Tensor, old: Tensor, count: int) -> Tensor:
    """The matrix (size, count) of one direction, float32.

    Args:
        size: Pixels of the result.
        new: Those of them that show the image, in the middle; the others are black.
        used: Pixels of the old image that are shown, from its middle.
        old: Pixels of the old image, as a tensor.
        count: The same, as a number.
    """
    border = ((size - new) / 2).floor()
    position = torch.arange(size, dtype=torch.float64, device=new.device) - border
    step = used / new
    center = (old - used) / 2 + (position + 0.5) * step
    pixel = torch.arange(count, dtype=torch.float64, device=new.device) + 0.5
    weights = (1 - (pixel - center[:, None]).abs() / step.clamp(min=1)).clamp(min=0)
    shows_image = (position >= 0) & (position < new)
    weights = weights * shows_image[:, None]
    return (weights / weights.sum(1, keepdim=True).clamp(min=1e-9)).float()
