"""What the first process shows while a run trains: TensorBoard's charts and pictures."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.tensorboard import SummaryWriter

from sbn_lightning.callbacks.run_facts import module_facts
from sbn_lightning.errors import UsageError
from sbn_lightning.figures import pixels
from sbn_lightning.run.measures import shown_in
from sbn_lightning.tensorboard import BoardLogger, layout_as_shown

Charts = dict[str, dict[str, tuple[str, list[str]]]]
"""See tensorboard.names.Charts; the tags are those of the files."""
SHOWN_FIRST = ("accuracy", "loss")
"""Measures in the first category of charts."""


def charts_of(names: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """Return two charts for each of these measures, one for each kind of images. In a single chart, all lines of a run
    would have the same color."""
    return {
        f"{measure.title}: {images}": ("Multiline", [f"^({stages})/{measure.name}$"])
        for measure in shown_in("dashboard")
        if measure.name in names
        for images, stages in (("test set or held out", "val|test_each_epoch"), ("training images", "train"))
    }


class Dashboard(Callback):
    """Lay out TensorBoard's "Custom Scalars" page, whose charts show several runs together.

    The page has two charts for each measure with the place "dashboard" in run.measures, one for the learning rate, and
    those of every other callback of the trainer that has a `charts` attribute.

    Tags, once at the start of training:
        custom_scalars__config__: The layout.
    """

    charts: ClassVar[Charts] = {
        "Training": {
            **charts_of(SHOWN_FIRST),
            "Loss of one training batch": ("Multiline", ["^train/batch_loss$"]),
            "Learning rate": ("Multiline", ["^lr-"]),
        }
    }
    more_charts: ClassVar[Charts] = {
        "More measures": charts_of([m.name for m in shown_in("dashboard") if m.name not in SHOWN_FIRST])
    }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if logger := tensorboard_logger(trainer):
            layout: Charts = {}
            of_callbacks = [getattr(callback, "charts", {}) for callback in trainer.callbacks]
            for categories in (self.charts, *of_callbacks, self.more_charts):
                for category, charts in categories.items():
                    layout.setdefault(category, {}).update(charts)
            is_renamed = isinstance(logger, BoardLogger)
            logger.experiment.add_custom_scalars(layout_as_shown(layout) if is_renamed else layout)


class PictureCallback(Callback):
    """A callback that draws a picture every few epochs, and after the last one.

    Drawing takes some tenths of a second, as long as a GPU takes for a whole epoch of small images.
    """

    def __init__(self, picture_every_n_epochs: int) -> None:
        if picture_every_n_epochs < 1:
            raise UsageError(f"picture_every_n_epochs {picture_every_n_epochs} must be at least 1")
        self.picture_every_n_epochs = picture_every_n_epochs

    def write_picture(
        self, trainer: Trainer, pl_module: LightningModule, tag: str, draw: Callable[..., Any], *drawn: Any
    ) -> None:
        """Write the figure draw(*drawn, title) if it is due."""
        epoch, writer = trainer.current_epoch + 1, summary_writer(trainer)
        if writer and (epoch % self.picture_every_n_epochs == 0 or epoch == trainer.max_epochs):
            add_picture(writer, tag, draw(*drawn, f"{head_label(pl_module)}, epoch {epoch}"), last_step(trainer))


def head_label(pl_module: LightningModule) -> str:
    """Return the head's title with the settings by which heads are compared."""
    return module_facts(pl_module, "head").label


def add_picture(writer: SummaryWriter, tag: str, figure: Any, step: int) -> None:
    """Write a figure of matplotlib."""
    # Not add_figure, which goes through pyplot and its global state.
    writer.add_image(tag, pixels(figure), step, dataformats="HWC")


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
    """Return the writer of the trainer's `tensorboard_logger`, or None without one."""
    logger = tensorboard_logger(trainer)
    return logger.experiment if logger else None


def tensorboard_logger(trainer: Trainer) -> TensorBoardLogger | None:
    """Return the first TensorBoardLogger; None on all processes but the first, and without such a logger, of which a
    training is warned once."""
    if not trainer.is_global_zero:
        return None
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            return logger
    if trainer.state.fn == "fit" and not trainer.fast_dev_run:
        rank_zero_warn(
            "The trainer has no TensorBoardLogger: histograms, pictures and the dashboard's layout are not written. "
            "Add one with `trainer.logger: TensorBoardLogger`, or remove the callbacks that draw them."
        )
    return None
