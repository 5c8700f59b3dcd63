"""The paper's argument: how much gradient the loss still sends back through the logits."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from sbn_lightning.callbacks.dashboard import Charts, log_scalars
from sbn_lightning.metrics import is_smaller_last_batch, step_is_logged
from sbn_lightning.sharding.tensors import whole

CONFIDENT = 0.99  # a sample whose true class has more than this probability hardly contributes to the gradient


class LogitGradient(Callback):
    """Show whether training samples are fitted so well that their gradient vanishes.

    With p = softmax(logits) and y the true class as a one-hot vector, cross-entropy's gradient of a sample is

        ∂L/∂z = p − y

    p is taken from the logits of `training_step`'s output, those of inference. A head that trains on other logits (one
    with a margin, LogitNorm, balanced moments) sends back another gradient than the one shown. All work is done at the
    logging steps. Where gradients are accumulated, p is that of the step's last batch. Source: Zhu et al. 2020, eqs.
    5–8.

    Tags, every `trainer.log_every_n_steps` optimizer steps, except for an epoch's smaller last batch:
        gradient/logit_norm: Mean of ‖p − y‖₂ over the batch of all processes, in [0, √2].
        gradient/share_confident: Share of the batch's samples with p_y > 0.99, in [0, 1].
        gradient/head_norm: Euclidean norm of the head's whole gradient, before clipping. None for a head without
            trainable parameters.
    """

    charts: ClassVar[Charts] = {
        "Gradient (eq. 8)": {
            "Gradient at the logits: mean ‖p − y‖": ("Multiline", ["^gradient/logit_norm$"]),
            "Share of samples with p_y > 0.99": ("Multiline", ["^gradient/share_confident$"]),
            "Gradient of the head's parameters: norm": ("Multiline", ["^gradient/head_norm$"]),
        }
    }

    def __init__(self) -> None:
        self._scalars: dict[str, float] | None = None  # of the step under way; None unless it is a logging step

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if not trainer.loggers or not step_is_logged(trainer, trainer.global_step + 1):
            return
        if is_smaller_last_batch(trainer):
            return
        self._scalars = {}
        gradients = [parameter.grad for parameter in pl_module.head.parameters() if parameter.grad is not None]
        if gradients:  # the same on every process: gradients are averaged over them by now
            self._scalars["gradient/head_norm"] = whole(torch.nn.utils.get_total_norm(gradients)).item()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        if self._scalars is None:
            return
        logits, labels = outputs["logits"], outputs["labels"]
        p = logits.float().softmax(dim=1)
        y = F.one_hot(labels, p.shape[1])
        logit_norm = torch.linalg.vector_norm(p - y, dim=1)
        confident = p.gather(1, labels[:, None]) > CONFIDENT
        # Sums and the count are reduced, not means: processes may hold shares of different size.
        sums = torch.stack([logit_norm.sum(), confident.sum(), logit_norm.new_tensor(len(labels))])
        total_norm, num_confident, num_samples = trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        self._scalars["gradient/logit_norm"] = total_norm / num_samples
        self._scalars["gradient/share_confident"] = num_confident / num_samples
        log_scalars(trainer, self._scalars)
        self._scalars = None
