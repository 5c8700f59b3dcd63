"""The model that is trained: a backbone and a head."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from sbn_lightning.acceleration import compile_in_place, match_layout
from sbn_lightning.backbones.base import Backbone
from sbn_lightning.checkpointing.lightning_internals import is_built_by_command_line
from sbn_lightning.checkpointing.safe_reading import check_class_paths
from sbn_lightning.heads.base import Head


class StageMetrics(nn.Module):
    """What is measured in each stage, over all its samples on all devices.

    - `loss`: mean of the head's loss
    - `accuracy`: share of samples whose largest logit is the label's
    - `top5_accuracy`: share of samples whose label is among the five largest logits (all of them, with fewer classes)
    - `calibration_error`: expected calibration error, 15 bins: mean |accuracy - confidence|

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        # Inputs are this project's own: checking their values would make a GPU wait in every step.
        self.loss = MeanMetric(nan_strategy="disable")
        self.accuracy = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
        self.top5_accuracy = MeanMetric(nan_strategy="disable")
        self.calibration_error = CalibrationError(num_classes, n_bins=15, validate_args=False)

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, logits (N, C) and labels (N,)."""
        self.loss.update(loss.expand(len(labels)))  # torchmetrics 1.9 ignores `weight` where it does not look for NaN
        self.accuracy.update(logits, labels)
        # torchmetrics' own top-5 sorts: ten times as slow as to count the logits above the label's.
        own = logits.gather(1, labels[:, None])
        self.top5_accuracy.update((((logits > own).sum(1) < 5) & own[:, 0].isfinite()).float())
        self.calibration_error.update(logits, labels)


class CalibrationError(MulticlassCalibrationError):
    """torchmetrics' own, of logits only: it looks at every value to tell them from probabilities, and waits for the
    answer."""

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits (N, C) and labels (N,)."""
        confidences, predictions = logits.float().softmax(1).max(1)
        self.confidences.append(confidences)
        self.accuracies.append((predictions == labels).float())


class Classifier(LightningModule):
    """An image classifier: features = backbone(images), logits = head(features), loss = head.loss(logits, labels,
    features).

    Steps return {"loss", "logits" (N, C), "labels" (N,)} for callbacks, logits detached and without margin. Logs the
    metrics of StageMetrics as `train/…`, `val/…` and `test/…` at the end of each epoch; where the data module watches
    the test set during training, that is `test_each_epoch/…`. `train/batch_loss` and `train/batch_accuracy` are those
    of one batch (the first process's part of it), logged every `log_every_n_steps`. No other step waits for the device.

    Checkpoints do not depend on channels_last and compile_backbone: they can be loaded, and continued, with others.

    Args:
        backbone: Images to features.
        head: Called as head(num_features, num_classes): features to logits, and the loss.
        num_classes: C; the command line takes it from the data.
        channels_last: Whether the backbone's weights and images lie in memory with the channels of a pixel side by
            side, as a GPU's tensor cores take them.
        compile_backbone: Whether a trainer runs the backbone compiled by torch.compile, once for each size of a batch.
            Where there is no compiler, it says so and runs it as it is.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Callable[[int, int], Head],
        num_classes: int,
        channels_last: bool = False,
        compile_backbone: bool = False,
    ) -> None:
        super().__init__()
        if is_built_by_command_line():
            # Built by the command line: store its class paths and arguments, so that load_from_checkpoint needs no
            # config. Objects built in Python are no plain data; load_from_checkpoint is given them again.
            self.save_hyperparameters()
        self.memory_format = torch.channels_last if channels_last else torch.preserve_format
        self.compile_backbone = compile_backbone
        self.backbone = backbone.to(memory_format=self.memory_format)
        self.head = head(backbone.num_features, num_classes)
        self.train_metrics = StageMetrics(num_classes)
        self.val_metrics = StageMetrics(num_classes)
        self.test_metrics = StageMetrics(num_classes)

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        strict: bool | None = None,
        **arguments: Any,
    ) -> "Classifier":
        """The model that a checkpoint holds; of unknown origin, too: none of its code is run or imported.

        Args:
            checkpoint_path: The file.
            map_location: Where its tensors go, as torch.load's.
            strict: Whether the weights' names must be the model's.
            arguments: Of the constructor, instead of the checkpoint's own. A checkpoint of a model that was built in
                Python needs them all.

        Raises:
            ValueError: If the file is damaged or carries code, or names a class that is neither imported already nor
                part of this package, torch or torchvision.
        """
        check_class_paths(checkpoint_path, given=arguments)
        return super().load_from_checkpoint(
            checkpoint_path, map_location, strict=strict, weights_only=True, **arguments
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), normalized as the data module does it, -> logits (N, C)."""
        return self.head(self._features(images))

    def setup(self, stage: str) -> None:
        if self.compile_backbone:
            compile_in_place(self.backbone)

    def on_train_start(self) -> None:
        match_layout(self.trainer.optimizers)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        outputs = self._step(batch, self.train_metrics)
        every = self.trainer.log_every_n_steps
        if every and (batch_idx == 0 or (self.trainer.global_step + 1) % every == 0):
            accuracy = (outputs["logits"].argmax(1) == outputs["labels"]).float().mean()
            loss = outputs["loss"].detach()
            # Not for the progress bar: Lightning would read it from the device in every step. LossBar shows it.
            self.log_dict({"train/batch_loss": loss, "train/batch_accuracy": accuracy})
        if self.trainer.world_size > 1:
            outputs["loss"] = outputs["loss"] * self._share_of_batch(len(outputs["labels"]))
        return outputs

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self._step(batch, self.val_metrics)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self._step(batch, self.test_metrics)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        images, labels = batch
        return {"logits": self(images), "labels": labels}

    def on_train_epoch_end(self) -> None:
        self._log_stage("train", self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        self._log_stage(getattr(self.trainer.datamodule, "validation_stage", "val"), self.val_metrics)

    def on_test_epoch_end(self) -> None:
        self._log_stage("test", self.test_metrics)

    def _features(self, images: Tensor) -> Tensor:
        # The trainer's precision may be 64-true or bf16-true.
        return self.backbone(images.to(self.dtype, memory_format=self.memory_format))

    def _step(self, batch: tuple[Tensor, Tensor], metrics: StageMetrics) -> dict[str, Tensor]:
        images, labels = batch
        features = self._features(images)
        logits = self.head(features)
        loss = self.head.loss(logits, labels, features)
        logits = logits.detach()
        metrics.update(loss.detach(), logits, labels)
        return {"loss": loss, "logits": logits, "labels": labels}

    def _log_stage(self, stage: str, metrics: StageMetrics) -> None:
        values: dict[str, Any] = {f"{stage}/{name}": metric for name, metric in metrics.named_children()}
        self.log_dict(values, on_step=False, on_epoch=True)

    def _share_of_batch(self, num_images: int) -> Tensor:
        """n_local * k / n_total: what makes the mean of k processes' gradients that of the whole batch."""
        # Filled on the device, and summed without the strategy's barrier: either would make the host wait.
        total = torch.full((), float(num_images), device=self.device)
        torch.distributed.all_reduce(total)
        return num_images * self.trainer.world_size / total
