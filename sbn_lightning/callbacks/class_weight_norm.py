"""Figure 3: how large each class's weights are."""

from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from sbn_lightning.callbacks.dashboard import Charts, PictureCallback, last_step, log_scalars, summary_writer
from sbn_lightning.errors import UsageError
from sbn_lightning.figures import draw_norms_of_one_run
from sbn_lightning.sharding.tensors import whole


class ClassWeightNorm(PictureCallback):
    """Show the Euclidean norm of every class's weights: ‖w_c‖ as trained, and ‖w′_c‖ as inference uses them.

    w_c is row c of `head.class_weight`; w′_c is row c of `head.as_linear()`, with the head's normalization folded in.
    Only ‖w′_c‖ can be compared between heads: a normalization after the weights makes the loss blind to their size.
    A head that computes cosines takes features of length 1: its ‖w′_c‖ is its scale, whatever the training does.
    Source: Zhu et al. 2020, Figure 3.

    Tags, once a training epoch:
        class_weight/norm, class_weight/effective_norm: Histograms of ‖w_c‖ and ‖w′_c‖ over all classes.
        class_weight/norm_mean, _min, _max and class_weight/effective_norm_mean, _min, _max: Over all classes.
        figure3/class_weight_norm: Both for the first classes, and the mean of all classes as a dashed line. The axes
            are the same for every head.

    Args:
        num_bars: How many classes the picture shows, >= 1; the paper shows 10.
        picture_every_n_epochs: Epochs between two pictures, >= 1; the last epoch has one in any case.
    """

    charts: ClassVar[Charts] = {
        "Class weights (Figure 3)": {
            f"{name}: mean, smallest to largest": ("Margin", [f"{tag}_mean", f"{tag}_min", f"{tag}_max"])
            for name, tag in (
                ("Class-weight norm", "class_weight/norm"),
                ("Effective class-weight norm", "class_weight/effective_norm"),
            )
        }
    }

    def __init__(self, num_bars: int = 10, picture_every_n_epochs: int = 1) -> None:
        super().__init__(picture_every_n_epochs)
        if num_bars < 1:
            raise UsageError(f"num_bars {num_bars} must be at least 1")
        self.num_bars = num_bars

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        norm, effective_norm = weight_norms(pl_module.head)
        if not trainer.is_global_zero:
            return
        norms = {"class_weight/norm": norm, "class_weight/effective_norm": effective_norm}
        scalars: dict[str, float] = {}
        for tag, values in norms.items():
            scalars |= {f"{tag}_{name}": getattr(values, name)().item() for name in ("mean", "min", "max")}
        log_scalars(trainer, scalars)
        if writer := summary_writer(trainer):
            for tag, values in norms.items():
                finite = values[values.isfinite()]  # of a diverged run: fewer or none, which add_histogram refuses
                if len(finite) > 0:
                    # TensorBoard's own bins are 10 % wide: all norms could fall into one of them.
                    writer.add_histogram(tag, finite, last_step(trainer), bins=30)
        names = trainer.datamodule.class_names[: self.num_bars]
        pair = (norm.numpy(), effective_norm.numpy())
        self.write_picture(trainer, pl_module, "figure3/class_weight_norm", draw_norms_of_one_run, pair, names)


def weight_norms(head: Any) -> tuple[Tensor, Tensor]:
    """Return (C,) ‖w_c‖ as trained and (C,) ‖w′_c‖ as inference uses them, both on the host.

    Every process must call it, since the head's classes may be divided among them.
    """
    weights = (head.class_weight, head.as_linear().weight)
    norms = (torch.linalg.vector_norm(weight.detach().float(), dim=1) for weight in weights)
    norm, effective_norm = (whole(one).cpu() for one in norms)
    return norm, effective_norm
