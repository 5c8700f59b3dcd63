"""Where callbacks write: scalars to every logger, the rest to TensorBoard; only the first process writes."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.tensorboard import SummaryWriter

from sbn_lightning.figures import pixels


def last_step(trainer: Trainer) -> int:
    """Index of the last finished optimizer step, counted from 0: the x axis of Lightning's own logs.

    One less than `trainer.global_step`. A run resumed from a checkpoint purges the events from its `global_step` on, so
    what was written just before that checkpoint must lie below it.
    """
    return max(0, trainer.global_step - 1)


def log_scalars(trainer: Trainer, scalars: Mapping[str, float]) -> None:
    """Send {tag: value} to every logger, at the last finished step."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(scalars), step=last_step(trainer))


def summary_writer(trainer: Trainer) -> SummaryWriter | None:
    """The writer of the first TensorBoardLogger; None without one, and on all processes but the first."""
    if not trainer.is_global_zero:
        return None
    loggers = (logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger))
    return next((logger.experiment for logger in loggers), None)


def warn_without_tensorboard(trainer: Trainer) -> None:
    """Say once that there is nowhere to write pictures to; evaluation and a `fast_dev_run` write nothing."""
    has_tensorboard = any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers)
    if trainer.state.fn == "fit" and not has_tensorboard and not trainer.fast_dev_run:
        rank_zero_warn(
            "The trainer has no TensorBoardLogger: histograms, pictures and the dashboard's layout are not written. "
            "Add one with `trainer.logger: TensorBoardLogger`, or remove the callbacks that draw them."
        )


def write_picture(writer: SummaryWriter, tag: str, figure: Any, step: int) -> None:
    """Write a figure as an RGB picture; `SummaryWriter.add_figure` would go through pyplot and its global state."""
    writer.add_image(tag, pixels(figure), step, dataformats="HWC")


def picture_labels(trainer: Trainer, pl_module: LightningModule) -> tuple[str, str]:
    """The head's title, and the epoch that has just ended."""
    head = pl_module.head
    return getattr(head, "title", "") or type(head).__name__, f"epoch {trainer.current_epoch + 1}"


def picture_is_due(trainer: Trainer, every_n_epochs: int) -> bool:
    """Whether this epoch's pictures are to be drawn: every so many epochs, and after the last one."""
    epoch = trainer.current_epoch + 1
    return epoch % every_n_epochs == 0 or epoch == trainer.max_epochs
