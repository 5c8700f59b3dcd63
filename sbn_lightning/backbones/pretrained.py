"""torchvision's pretrained weights, which are downloaded only with permission."""

from pathlib import Path
from typing import Any

import torch
from torchvision.models import get_model_weights

from sbn_lightning.backbones.base import needs_pretrained


def pretrained_state(name: str, weights: str | None, download: bool) -> dict[str, Any] | None:
    """Return torchvision's weights of this name, from the folder to which it downloads them.

    Args:
        name: What torchvision calls the network.
        weights: What it calls the weights; None for random ones.
        download: Whether they may be downloaded if they are not on this machine.

    Returns:
        Nothing if random weights are asked for, or if a checkpoint's weights will replace these.

    Raises:
        ValueError: If the weights are unknown, damaged, or not on this machine and may not or cannot be downloaded.
    """
    if weights is None or not needs_pretrained():
        return None
    known = get_model_weights(name).__members__
    if weights not in known:
        raise ValueError(f"weights {weights!r} are not known for {name}; use one of {', '.join(known)}, or null")
    url = known[weights].url
    file = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not download and not file.is_file():
        raise ValueError(
            f"weights {weights!r} of {name} are not on this machine, and nothing is downloaded without permission; put "
            f"{url} there as {file}, or pass --model.backbone.download true"
        )
    try:
        return known[weights].get_state_dict(check_hash=True, weights_only=True)
    except OSError as error:
        raise ValueError(
            f"weights {weights!r} of {name} cannot be downloaded from {url} ({error}); put them there as {file}"
        ) from error
    except Exception as error:  # damaged bytes may make torch raise anything here
        raise ValueError(
            f"weights {weights!r} of {name} cannot be read from {file}: it is damaged; remove it"
        ) from error


def normalization_of(name: str, weights: str | None) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation by which torchvision normalizes images for these weights."""
    preset = get_model_weights(name)[weights].transforms()
    return list(preset.mean), list(preset.std)
