"""Figure 2: how large the logits are."""

import math
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.callbacks.dashboard import Charts
from sbn_lightning.callbacks.histogram import HistogramCounter
from sbn_lightning.callbacks.writing import (
    last_step,
    log_scalars,
    picture_is_due,
    picture_labels,
    summary_writer,
    warn_without_tensorboard,
    write_picture,
)
from sbn_lightning.errors import UsageError
from sbn_lightning.figures import draw_logits


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
                label, epoch = picture_labels(trainer, pl_module)
                picture = draw_logits({label: (histograms["all"], histograms["true_class"])}, epoch)
                write_picture(writer, "figure2/logits", picture, last_step(trainer))
