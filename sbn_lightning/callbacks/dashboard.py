"""What the first process shows while a run trains: TensorBoard's charts and pictures."""

from collections.abc import Callable
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.tensorboard import SummaryWriter

from sbn_lightning.errors import UsageError
from sbn_lightning.figures import pixels
from sbn_lightning.run.measures import shown_in

Charts = dict[str, dict[str, tuple[str, list[str]]]]
"""{category: {chart's title: (type, tags)}}. The tags of a "Multiline" chart are regular expressions, matched from the
tag's start (so end them with $); those of a "Margin" chart are the line, its lower and its upper bound."""


class Dashboard(Callback):
    """Lay out TensorBoard's "Custom Scalars" page, whose charts show several runs together.

    The page has a chart for each measure with the place "dashboard" in run.measures, one for the learning rate, and
    those of every other callback of the trainer that has a `charts` attribute.

    Tags, once at the start of training:
        custom_scalars__config__: The layout.
    """

    charts: ClassVar[Charts] = {
        "Training": {
            **{m.title: ("Multiline", [f"^(train|val|test_each_epoch)/{m.name}$"]) for m in shown_in("dashboard")},
            "Loss of one training batch": ("Multiline", ["^train/batch_loss$"]),
            "Learning rate": ("Multiline", ["^lr-"]),
        }
    }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if writer := summary_writer(trainer):
            layout: Charts = {}
            for callback in [self, *trainer.callbacks]:
                for category, charts in getattr(callback, "charts", {}).items():
                    layout.setdefault(category, {}).update(charts)
            writer.add_custom_scalars(layout)


class PictureCallback(Callback):
    """A callback that draws a picture every few epochs, and after the last one.

    Drawing takes some tenths of a second, as long as a GPU takes for a whole epoch of small images.
    """

    def __init__(self, picture_every_n_epochs: int) -> None:
        if picture_every_n_epochs < 1:
            raise UsageError(f"picture_every_n_epochs {picture_every_n_epochs} must be at least 1")
        self.picture_every_n_epochs = picture_every_n_epochs

    def write_picture(
        self, trainer: Trainer, pl_module: LightningModule, tag: str, draw: Callable[..., Any], run: Any, *more: Any
    ) -> None:
        """Write the figure draw({the head's title: run}, *more, the epoch as text), if it is due."""
        epoch, head, writer = trainer.current_epoch + 1, pl_module.head, summary_writer(trainer)
        if writer and (epoch % self.picture_every_n_epochs == 0 or epoch == trainer.max_epochs):
            figure = draw({head.title or type(head).__name__: run}, *more, f"epoch {epoch}")
            # Not add_figure, which goes through pyplot and its global state.
            writer.add_image(tag, pixels(figure), last_step(trainer), dataformats="HWC")


def last_step(trainer: Trainer) -> int:
    """Return the index of the last finished optimizer step, counted from 0: the x axis of Lightning's own logs.

    A run resumed from a checkpoint purges the events from its `global_step` on, so what was written just before that
    checkpoint must lie below it.
    """
    return max(0, trainer.global_step - 1)


def log_scalars(trainer: Trainer, scalars: dict[str, float]) -> None:
    """Send {tag: value} to every logger, at the last finished step."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(scalars), step=last_step(trainer))


def summary_writer(trainer: Trainer) -> SummaryWriter | None:
    """Return the writer of the first TensorBoardLogger; None on all processes but the first, and without such a logger,
    of which a training is warned once."""
    if not trainer.is_global_zero:
        return None
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            return logger.experiment
    if trainer.state.fn == "fit" and not trainer.fast_dev_run:
        rank_zero_warn(
            "The trainer has no TensorBoardLogger: histograms, pictures and the dashboard's layout are not written. "
            "Add one with `trainer.logger: TensorBoardLogger`, or remove the callbacks that draw them."
        )
    return None
