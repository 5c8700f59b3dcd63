"""Which images are trained on and which are held out."""

import torch
from torch import Tensor

from sbn_lightning.errors import UsageError


def stratified_split(labels: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """Split so that each class gives the same fraction, at random but always alike.

    Args:
        labels: (N,).
        fraction: Share of the second part, in (0, 1).

    Returns:
        The sorted indices of both parts.

    Raises:
        UsageError: If a class is too small to be in both parts.
    """
    from sklearn.model_selection import train_test_split  # a second of import time that only this needs

    try:
        first, second = train_test_split(
            range(len(labels)), test_size=fraction, stratify=labels.numpy(), random_state=0
        )
    except ValueError as error:
        raise UsageError(
            f"validation_fraction {fraction} does not split {len(labels)} images by class: {error}"
        ) from error
    return torch.tensor(sorted(first)), torch.tensor(sorted(second))
