"""One page in TensorBoard ("Custom Scalars") with the charts of a run."""

from typing import ClassVar, Literal, TypeAlias

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.callbacks.writing import summary_writer, warn_without_tensorboard
from sbn_lightning.run.measures import shown_in

Charts: TypeAlias = dict[str, dict[str, tuple[Literal["Multiline", "Margin"], list[str]]]]
"""{category: {chart's title: (type, tags)}}.

The tags of a "Multiline" chart are regular expressions, matched from the tag's start (so end them with $); those of a
"Margin" chart are three plain tags: the line, its lower and its upper bound.
"""


class Dashboard(Callback):
    """Lay out TensorBoard's "Custom Scalars" page, whose charts show several runs together.

    The page has a chart for each measure with the place "dashboard" in run.measures, one for the learning rate, and
    those of every other callback of the trainer that has a `charts` attribute: a callback's charts are listed beside
    its tags and nowhere else.

    Tags, once at the start of training:
        custom_scalars__config__: The layout.
    """

    charts: ClassVar[Charts] = {
        "Training": {
            **{
                measure.title: ("Multiline", [f"^(train|val|test_each_epoch)/{measure.name}$"])
                for measure in shown_in("dashboard")
            },
            "Loss of one training batch": ("Multiline", ["^train/batch_loss$"]),
            "Learning rate": ("Multiline", ["^lr-"]),
        }
    }

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        warn_without_tensorboard(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if writer := summary_writer(trainer):
            callbacks: list[Callback] = trainer.callbacks
            writer.add_custom_scalars(merge_charts([self, *callbacks]))


def merge_charts(callbacks: list[Callback]) -> Charts:
    """Return the charts of all callbacks in their order: those of one category together, and repeated ones once."""
    merged: Charts = {}
    for callback in callbacks:
        for category, charts in getattr(callback, "charts", {}).items():
            merged.setdefault(category, {}).update(charts)
    return merged
