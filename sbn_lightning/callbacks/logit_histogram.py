"""Figure 2: how large the logits are."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import Strategy
from torch import Tensor

from sbn_lightning.callbacks.dashboard import Charts, PictureCallback, last_step, log_scalars, summary_writer
from sbn_lightning.errors import UsageError
from sbn_lightning.figures import Histogram, draw_logits


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
        figure2/logits: Both histograms as a picture; each has area 1.

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
        self, lower: float = -20.0, upper: float = 20.0, bins: int = 400, picture_every_n_epochs: int = 1
    ) -> None:
        super().__init__(picture_every_n_epochs)
        if not -math.inf < lower < upper < math.inf:
            raise UsageError(f"lower {lower} and upper {upper} must be finite, and lower below upper")
        if bins < 1:
            raise UsageError(f"bins {bins} must be at least 1")
        self.bins = (lower, upper, bins)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._counters = {
            tag: HistogramCounter(*self.bins, pl_module.device) for tag in ("logits/all", "logits/true_class")
        }

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        logits, labels = outputs["logits"], outputs["labels"]
        self._counters["logits/all"].add(logits)
        self._counters["logits/true_class"].add(logits.gather(1, labels[:, None]))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        counted = {tag: counter.total(trainer.strategy) for tag, counter in self._counters.items()}
        every_logit, total, total_squares = counted["logits/all"]
        true_class, *_ = counted["logits/true_class"]
        mean = total / every_logit.size
        std = np.sqrt(np.maximum(0.0, total_squares / every_logit.size - mean**2))
        scalars = {"logits/mean": mean, "logits/std": float(std)}
        for tag, (histogram, *_) in counted.items():
            scalars |= {f"{tag}_p{percent:02}": histogram.quantile(percent / 100) for percent in (5, 50, 95)}
        log_scalars(trainer, scalars)
        if writer := summary_writer(trainer):
            for tag, (histogram, total, total_squares) in counted.items():
                filled = np.flatnonzero(histogram.counts)  # TensorBoard's min and max are the outer edges of these bins
                lowest, highest = histogram.edges[filled[0]], histogram.edges[filled[-1] + 1]
                sums = {"num": histogram.size, "sum": total, "sum_squares": total_squares}
                bins = {"bucket_limits": histogram.edges[1:].tolist(), "bucket_counts": histogram.counts.tolist()}
                writer.add_histogram_raw(tag, lowest, highest, **sums, **bins, global_step=last_step(trainer))
        self.write_picture(trainer, pl_module, "figure2/logits", draw_logits, (every_logit, true_class))


class HistogramCounter:
    """Counts values on bins of equal width from lower to upper, on the values' device, without waiting for it.

    The result is the same in every run, and every operation has a deterministic form.
    """

    def __init__(self, lower: float, upper: float, bins: int, device: torch.device | None = None) -> None:
        self.lower, self.upper, self.bins = lower, upper, bins
        self.counts = torch.zeros(bins, dtype=torch.int64, device=device)
        self.moments = torch.zeros(2, device=device)  # sum and sum of squares; float32, since MPS has no float64

    def add(self, values: Tensor) -> None:
        """Count values of any shape; NaN counts as too large."""
        values = values.detach().float().flatten()
        position = (values - self.lower) * (self.bins / (self.upper - self.lower))
        index = position.nan_to_num(nan=self.bins).clamp(0, self.bins - 1).long()
        # Not histc: it has no deterministic form on CUDA. Not bincount: it waits for the device to learn the largest
        # bin. Not bucketize: 20 times as slow on a CPU.
        self.counts.index_add_(0, index, torch.ones_like(index))
        self.moments += torch.stack([values.sum(), values.square().sum()])

    def total(self, strategy: Strategy) -> tuple[Histogram, float, float]:
        """Return the histogram over all processes, the sum of the values and that of their squares, exact also outside
        the bins. Every process must call it, and waits."""
        counts = strategy.reduce(self.counts, reduce_op="sum").cpu().numpy()
        total, total_squares = strategy.reduce(self.moments, reduce_op="sum").tolist()
        return Histogram(np.linspace(self.lower, self.upper, self.bins + 1), counts), total, total_squares
