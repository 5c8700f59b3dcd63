"""What Lightning's callbacks do to a training and neither they nor Lightning save."""

from typing import TypeAlias

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

TRACKS = "track_running_stats"  # of torch's batch normalizations
Trained: TypeAlias = dict[str, list[str]]
"""{"parameters": names of those that are trained, "statistics": names of the modules that update their statistics}."""


def trained_parts(pl_module: LightningModule) -> Trained:
    """Return what is trained now: BackboneFinetuning freezes the backbone, and trains it from some epoch on."""
    return {
        "parameters": [name for name, parameter in pl_module.named_parameters() if parameter.requires_grad],
        "statistics": [name for name, module in pl_module.named_modules() if getattr(module, TRACKS, False)],
    }


def restore_trained_parts(trained: Trained, pl_module: LightningModule) -> None:
    """Train what was trained when the state was taken."""
    for name, parameter in pl_module.named_parameters():
        parameter.requires_grad_(name in trained["parameters"])
    for name, module in pl_module.named_modules():
        if hasattr(module, TRACKS):
            setattr(module, TRACKS, name in trained["statistics"])


def has_stopped_early(trainer: Trainer) -> bool:
    """Whether EarlyStopping has asked the training to end, which it may do before `min_epochs`."""
    stopping = (callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping))
    return any(callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED for callback in stopping)
