"""One page in TensorBoard ("Custom Scalars") with the charts that belong together."""

from typing import ClassVar, Literal, TypeAlias

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.callbacks.writing import summary_writer, warn_without_tensorboard

Charts: TypeAlias = dict[str, dict[str, tuple[Literal["Multiline", "Margin"], list[str]]]]
"""{category: {chart's title: (type, tags)}}.

The tags of a "Multiline" chart are regular expressions, matched from the tag's start (so end them with $); those of a
"Margin" chart are three plain tags: the line, its lower and its upper bound.
"""


class Dashboard(Callback):
    """Lay out TensorBoard's "Custom Scalars" page, on which several runs can be laid over each other.

    The page has this callback's charts (accuracy, loss, calibration, learning rate) and those of every other callback
    of the trainer that has a `charts` attribute: a callback's charts are listed beside its tags and nowhere else.

    Tags, once at the start of training:
        custom_scalars__config__: The layout.
    """

    charts: ClassVar[Charts] = {
        "Training": {
            "Accuracy": ("Multiline", ["^(train|val|test_each_epoch)/accuracy$"]),
            "Top-5 accuracy": ("Multiline", ["^(train|val|test_each_epoch)/top5_accuracy$"]),
            "Loss": ("Multiline", ["^(train|val|test_each_epoch)/loss$"]),
            "Loss of one training batch": ("Multiline", ["^train/batch_loss$"]),
            "Expected calibration error": ("Multiline", ["^(train|val|test_each_epoch)/calibration_error$"]),
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
    """The charts of all callbacks in their order, those of one category together, and repeated ones once."""
    merged: Charts = {}
    for callback in callbacks:
        for category, charts in getattr(callback, "charts", {}).items():
            merged.setdefault(category, {}).update(charts)
    return merged
