"""Figure 2: how large the logits are."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from sbn_lightning.callbacks.dashboard import Charts, PictureCallback, last_step, log_scalars, summary_writer
from sbn_lightning.errors import UsageError
from sbn_lightning.figures import Histogram, draw_logits_of_one_run

TAGS = ("logits/all", "logits/true_class")


class LogitHistogram(PictureCallback):
    """Show the distribution of the validation logits, and apart that of the true class's logit.

    Each validation epoch counts every logit of `validation_step`'s output on fixed bins, so that epochs and runs can be
    laid over each other; the sanity check is not written. Logits beyond the bins are counted in the end bins. Mean and
    standard deviation are those of the logits themselves, quantiles are read off the bins.
    Source: Zhu et al. 2020, Figure 2.

    Tags, once a validation epoch, all in units of the logit:
        logits/all, logits/true_class: Histograms over all N·C logits, and over the N logits of each sample's own class.
        logits/mean, logits/std: Over all logits.
        logits/all_p05, _p50, _p95 and logits/true_class_p05, _p50, _p95: Quantiles at 5 %, 50 % and 95 %.
        figure2/logits: Both histograms as a picture, on an axis that is the same for every head on as many classes.

    Args:
        lower: Left edge of the first bin, finite.
        upper: Right edge of the last bin, finite and above lower.
        bins: Number of bins of equal width, >= 1.
        picture_every_n_epochs: Epochs between two pictures, >= 1; the last epoch has one in any case.
    """

    charts: ClassVar[Charts] = {
        "Logits (Figure 2)": {
            "All logits: median, 5 % to 95 %": ("Margin", ["logits/all_p50", "logits/all_p05", "logits/all_p95"]),
            "True class's logit: median, 5 % to 95 %": (
                "Margin", ["logits/true_class_p50", "logits/true_class_p05", "logits/true_class_p95"],
            ),
            "All logits: mean and standard deviation": ("Multiline", ["^logits/mean$", "^logits/std$"]),
        }
    }  # fmt: skip

    def __init__(
        self, lower: float = -20.0, upper: float = 40.0, bins: int = 600, picture_every_n_epochs: int = 1
    ) -> None:
        super().__init__(picture_every_n_epochs)
        if not -math.inf < lower < upper < math.inf:
            raise UsageError(f"lower {lower} and upper {upper} must be finite, and lower below upper")
        if bins < 1:
            raise UsageError(f"bins {bins} must be at least 1")
        self.lower, self.upper, self.bins = lower, upper, bins

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A row for each of TAGS.
        self._counts = torch.zeros(len(TAGS), self.bins, dtype=torch.int64, device=pl_module.device)
        # Sums of the values and of their squares; float32, since MPS has no float64.
        self._sums = torch.zeros(len(TAGS), 2, device=pl_module.device)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        logits, labels = outputs["logits"], outputs["labels"]
        for row, values in enumerate((logits, logits.gather(1, labels[:, None]))):
            values = values.float().flatten()
            self._counts[row] += bin_counts(values, self.lower, self.upper, self.bins)
            self._sums[row] += torch.stack([values.sum(), values.square().sum()])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        counts = trainer.strategy.reduce(self._counts, reduce_op="sum").cpu().numpy()  # over all processes
        sums = trainer.strategy.reduce(self._sums, reduce_op="sum").tolist()
        edges = np.linspace(self.lower, self.upper, self.bins + 1)
        histograms = [Histogram(edges, row) for row in counts]
        mean, mean_square = (total / histograms[0].size for total in sums[0])
        scalars = {"logits/mean": mean, "logits/std": float(np.sqrt(np.maximum(0.0, mean_square - mean**2)))}
        for tag, histogram in zip(TAGS, histograms, strict=True):
            scalars |= {f"{tag}_p{percent:02}": histogram.quantile(percent / 100) for percent in (5, 50, 95)}
        log_scalars(trainer, scalars)
        if writer := summary_writer(trainer):
            for tag, histogram, (total, total_squares) in zip(TAGS, histograms, sums, strict=True):
                filled = np.flatnonzero(histogram.counts)  # TensorBoard's min and max are the outer edges of these bins
                writer.add_histogram_raw(
                    tag, min=edges[filled[0]], max=edges[filled[-1] + 1], num=histogram.size, sum=total,
                    sum_squares=total_squares, bucket_limits=edges[1:].tolist(),
                    bucket_counts=histogram.counts.tolist(), global_step=last_step(trainer),
                )  # fmt: skip
        num_classes = len(trainer.datamodule.class_names)
        self.write_picture(trainer, pl_module, "figure2/logits", draw_logits_of_one_run, tuple(histograms), num_classes)


def bin_counts(values: Tensor, lower: float, upper: float, bins: int) -> Tensor:
    """(n,) -> (bins,): how many values lie in each bin of equal width, without waiting for the device.

    The end bins also take what lies beyond, the last one NaN too. The result is the same in every run, and every
    operation has a deterministic form.
    """
    position = (values - lower) * (bins / (upper - lower))
    index = position.nan_to_num(nan=bins).clamp(0, bins - 1).long()
    # Not histc: it has no deterministic form on CUDA. Not bincount: it waits for the device to learn the largest bin.
    # Not bucketize: 20 times as slow on a CPU.
    return torch.zeros(bins, dtype=torch.int64, device=values.device).index_add_(0, index, torch.ones_like(index))
