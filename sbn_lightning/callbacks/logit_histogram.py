"""Figure 2: how large the logits are."""

import math
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from sbn_lightning.callbacks.dashboard import Charts
from sbn_lightning.callbacks.histogram import Histogram, HistogramCounter
from sbn_lightning.callbacks.writing import (
    last_step,
    log_scalars,
    picture_is_due,
    summary_writer,
    warn_without_tensorboard,
    write_picture,
)
from sbn_lightning.errors import UsageError


class LogitHistogram(Callback):
    """Show the distribution of the validation logits, and apart that of the true class's logit.

    Each validation epoch counts every logit of `validation_step`'s output on fixed bins, so that epochs and runs can be
    laid over each other; the sanity check is not written. Logits beyond the bins are counted in the end bins. Mean and
    standard deviation are those of the logits themselves, quantiles are read off the bins.
    Source: Zhu et al. 2020, Figure 2.

    Tags, once a validation epoch, all in units of the logit:
        logits/all, logits/true_class: Histograms over all N·C logits, and over the N logits of each sample's own class.
        logits/mean, logits/std: Over all logits.
        logits/all_p05, logits/all_p50, logits/all_p95: Quantiles at 5 %, 50 % and 95 % of all logits.
        logits/true_class_p05, logits/true_class_p50, logits/true_class_p95: The same of the true class's.
        figure2/logits: Both histograms as a picture; each has area 1. See picture_every_n_epochs.

    Args:
        lower: Left edge of the first bin.
        upper: Right edge of the last bin.
        bins: Number of bins of equal width.
        picture_every_n_epochs: The picture is drawn after every so many epochs, and after the last; it takes some
            tenths of a second, as long as a GPU takes for a whole epoch of small images.

    Raises:
        UsageError: If lower is not below upper or one of them not finite, or if bins or picture_every_n_epochs is
            below 1.
    """

    charts: ClassVar[Charts] = {
        "Logits (Figure 2)": {
            "All logits: median, 5 % to 95 %": ("Margin", ["logits/all_p50", "logits/all_p05", "logits/all_p95"]),
            "True class's logit: median, 5 % to 95 %": (
                "Margin",
                ["logits/true_class_p50", "logits/true_class_p05", "logits/true_class_p95"],
            ),
            "All logits: mean and standard deviation": ("Multiline", ["^logits/mean$", "^logits/std$"]),
        }
    }

    def __init__(
        self, lower: float = -20.0, upper: float = 20.0, bins: int = 400, picture_every_n_epochs: int = 1
    ) -> None:
        if not -math.inf < lower < upper < math.inf:
            raise UsageError(f"lower {lower} and upper {upper} must be finite, and lower below upper")
        if bins < 1:
            raise UsageError(f"bins {bins} must be at least 1")
        if picture_every_n_epochs < 1:
            raise UsageError(f"picture_every_n_epochs {picture_every_n_epochs} must be at least 1")
        self.lower = lower
        self.upper = upper
        self.bins = bins
        self.picture_every_n_epochs = picture_every_n_epochs

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        warn_without_tensorboard(trainer)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._all = HistogramCounter(self.lower, self.upper, self.bins, pl_module.device)
        self._true_class = HistogramCounter(self.lower, self.upper, self.bins, pl_module.device)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        logits, labels = outputs["logits"], outputs["labels"]
        self._all.add(logits)
        self._true_class.add(logits.gather(1, labels[:, None]))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        histograms = {
            "all": self._all.total(trainer.strategy),
            "true_class": self._true_class.total(trainer.strategy),
        }
        if histograms["all"].size == 0:  # no validation batch
            return
        scalars = {"logits/mean": histograms["all"].mean, "logits/std": histograms["all"].std}
        for name, histogram in histograms.items():
            for percent in (5, 50, 95):
                scalars[f"logits/{name}_p{percent:02}"] = histogram.quantile(percent / 100)
        log_scalars(trainer, scalars)
        if writer := summary_writer(trainer):
            for name, histogram in histograms.items():
                histogram.write(writer, f"logits/{name}", last_step(trainer))
            if picture_is_due(trainer, self.picture_every_n_epochs):
                picture = draw_logits(histograms["all"], histograms["true_class"])
                write_picture(writer, "figure2/logits", picture, last_step(trainer))


def draw_logits(all_logits: Histogram, true_class: Histogram) -> Figure:
    """Both distributions; the x axis holds 99.8 % of each and changes in eighths of the bins' whole range."""
    lower, upper = all_logits.edges[[0, -1]]
    figure = Figure(figsize=(8, 4.5), dpi=100)
    # Fixed margins: a layout engine takes up to half as long again.
    figure.subplots_adjust(left=0.09, right=0.98, bottom=0.12, top=0.87)
    axes = figure.add_subplot()
    for label, color, histogram in [("all logits", "C0", all_logits), ("true class's logit", "C1", true_class)]:
        label += f": mean {histogram.mean:.2f}, std {histogram.std:.2f}"
        axes.stairs(histogram.density, histogram.edges, fill=True, color=color, alpha=0.35)
        axes.stairs(histogram.density, histogram.edges, color=color, linewidth=1.2, label=label)
    ends = [histogram.quantile(q) for histogram in (all_logits, true_class) for q in (0.001, 0.999)]
    eighth = (upper - lower) / 8
    axes.set_xlim(
        max(lower, eighth * np.floor(min(ends) / eighth)),
        min(upper, eighth * np.ceil(max(ends) / eighth)),
    )
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"logit (those below {lower:g} or above {upper:g} are counted in the end bins)")
    axes.set_ylabel("frequency (each area is 1)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Distribution of the logits", pad=26)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return figure
