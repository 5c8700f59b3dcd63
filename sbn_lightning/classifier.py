"""The model that is trained: a backbone and a head."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import IO, Any

import msgspec
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from sbn_lightning.acceleration import compiled, match_layout, missing_for_compilation
from sbn_lightning.backbones.base import Backbone, rebuilt
from sbn_lightning.checkpointing.checkpoint_file import read_checkpoint
from sbn_lightning.checkpointing.lightning_internals import built_from, forget_step_values, is_built_by_command_line
from sbn_lightning.checkpointing.stored_classes import StoredClasses
from sbn_lightning.errors import UsageError
from sbn_lightning.heads.base import Head
from sbn_lightning.memory import Halving
from sbn_lightning.metrics import StageMetrics, is_smaller_last_batch, step_is_logged
from sbn_lightning.normalization import Normalization, add_normalization
from sbn_lightning.prediction import Images, Predictions, batches_of
from sbn_lightning.run.identity import TRAINED_ON, TrainedOn, names, stored_run
from sbn_lightning.run.measures import MEASURES
from sbn_lightning.sharding.head import ShardedHead
from sbn_lightning.sharding.strategy import ShardedHeadStrategy
from sbn_lightning.step_graph import StepGraph, can_be_recorded

Evaluated = tuple[Tensor, Tensor]
"""A batch's loss, and its logits (N, C), detached."""
BATCH_TAGS = ("train/batch_loss", "train/batch_accuracy")


class Classifier(LightningModule):
    """An image classifier: features = backbone(normalized images), logits = head(features), loss = head.loss(logits,
    labels, features).

    It takes pixels from 0 to 255 (uint8) and normalizes them itself, so that whoever has its checkpoint needs nothing
    else to classify an image: see `predict`.

    Steps return {"loss", "logits" (N, C), "labels" (N,)} for callbacks, logits detached and without margin. The
    measures of run.measures are logged as `train/…`, `val/…` and `test/…` at the end of each epoch; if the data module
    watches the test set during training, as `test_each_epoch/…`. `train/batch_loss` and `train/batch_accuracy` are
    those of one batch (the first process's part of it), logged in an epoch's first step and every `log_every_n_steps`,
    except for an epoch's smaller last batch. No step waits for the device. In evaluation the backbone computes a
    batch that does not fit into a GPU's memory in parts. Checkpoints do not depend on channels_last and
    compile_backbone. With the strategy `ShardedHeadStrategy` the loss is that of the whole batch on every process, and
    all processes must call the model together.

    Args:
        backbone: Images to features.
        head: Called as head(num_features, num_classes): features to logits, and the loss.
        num_classes: C; the command line takes it from the data.
        channels_last: Whether the backbone's weights and images lie in memory with the channels of a pixel side by
            side, which a GPU's tensor cores prefer.
        compile_backbone: Whether a trainer compiles the backbone by torch.compile, and, where it trains on one device,
            the head and the loss with it.
        cuda_graph: Whether forward and backward pass of a training step become one CUDA graph, see
            `step_graph.StepGraph`. Only on one GPU, without a strategy for several, and neither with accumulated
            gradients, nor with precision 16-mixed, nor with StochasticWeightAveraging; otherwise nothing changes.
        mean, std: Of each channel, in units of full scale (0 to 1): what images are normalized with. None for those
            that the backbone's pretrained weights were trained with, or, if it has none, those of the training images.

    Attributes:
        trained_on: The data of the training: class names, image size and more; None before a training, and after one
            whose data module is not an `ImageDataModule`.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Callable[[int, int], Head],
        num_classes: int,
        channels_last: bool = False,
        compile_backbone: bool = False,
        cuda_graph: bool = False,
        mean: tuple[float, float, float] | None = None,
        std: tuple[float, float, float] | None = None,
    ) -> None:
        super().__init__()
        if is_built_by_command_line():
            # Store the class paths and arguments, so that load_from_checkpoint needs no config. Objects built in Python
            # are not plain data; load_from_checkpoint is given them again.
            self.save_hyperparameters()
        self.memory_format = torch.channels_last if channels_last else torch.preserve_format
        self._must_compile = compile_backbone
        self.is_compiled = compile_backbone and missing_for_compilation() is None
        self._apply_network, self._apply_all = applied, evaluated_images
        self._may_record = cuda_graph
        self._graph: StepGraph | None = None
        self._sharded: ShardedHead | None = None
        if (mean is None) != (std is None):
            raise UsageError(f"mean is {mean} and std is {std}; give both, or neither", "model.mean")
        moments = (mean, std) if mean is not None and std is not None else backbone.normalization
        self._can_normalize = moments is not None  # if not, the training images decide
        self.trained_on: TrainedOn | None = None
        self.normalization = Normalization(*moments or ())
        self.backbone = backbone.to(memory_format=self.memory_format)
        self._in_parts = Halving()
        self.head = head(backbone.num_features, num_classes)
        self.train_metrics, self.val_metrics, self.test_metrics = (StageMetrics(num_classes) for _ in range(3))

    def predict(self, images: Images, batch_size: int = 64) -> Predictions:
        """Classify images as inference does: in evaluation mode, without gradients.

        They are brought to the size of the training images, in the same way as these.

        Args:
            images: One image or several of them: paths of image files, PIL images, arrays (H, W), (H, W, 3) or (N, H,
                W, 3), or tensors (3, H, W) or (N, 3, H, W); both of type uint8, 0 to 255, the channels red, green and
                blue.
            batch_size: How many the network computes at a time.

        Raises:
            UsageError: If the model does not know its classes, since no `ImageDataModule` trained it, if something is
                not an image, with its name or number, or if the model answers NaN.
        """
        data = self._known_data()
        probabilities = self._inferred(self, images, batch_size).float().softmax(1)
        if bool(probabilities.isnan().any()):
            number = int(probabilities.isnan().any(1).nonzero()[0])
            raise UsageError(f"the model answers NaN to image {number}: its training went wrong; use an earlier one")
        return Predictions([data.class_names[label] for label in probabilities.argmax(1).tolist()], probabilities)

    def features(self, images: Images, batch_size: int = 64) -> Tensor:
        """Return the features (N, D) of images, what the backbone gives; similar images have similar ones.

        `head.as_linear()(head.embed(features))` are the logits. Arguments and errors are those of `predict`.
        """
        return self._inferred(self._features, images, batch_size).float()

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: str | torch.device | None = None,
        strict: bool | None = None,
        **arguments: Any,
    ) -> "Classifier":
        """Return the model that a checkpoint holds, even of unknown origin.

        No code in it is run or imported, and nothing is downloaded.

        Args:
            checkpoint_path: The file.
            map_location: The device of the model; None for the CPU.
            strict: Whether the file must hold exactly the model's weights; None for true.
            arguments: Of the constructor, in place of the checkpoint's own. A checkpoint of a model that was built in
                Python needs them all.

        Raises:
            UsageError: If the file is damaged or carries code, if its weights or arguments do not fit the model, or if
                it names anything else than imported subclasses of Backbone and Head.
        """
        stored = read_checkpoint(checkpoint_path)
        classes = StoredClasses(checkpoint_path, Backbone, Head)
        own = stored.get("hyper_parameters", {})
        is_own = not arguments
        if missing := [name for name in ("backbone", "head", "num_classes") if name not in own | arguments]:
            raise UsageError(
                f"{checkpoint_path} does not say its {', '.join(missing)}: another program wrote it, or its model was "
                "built in Python; use a checkpoint of sbn fit, or, in Python, give load_from_checkpoint what is missing"
            )
        try:
            with rebuilt():
                for name in sorted(own.keys() & signature(cls).parameters.keys() - arguments.keys()):
                    build = classes.module if name in ("backbone", "head") else classes.build
                    arguments[name] = build(own[name], f"model.{name}")
            with built_from(own if is_own else {}):  # so that the model keeps them, and can be saved again
                model = cls(**arguments)
            model.on_load_checkpoint(stored)
            if "normalization.mean" not in stored["state_dict"]:
                raise UsageError(
                    f"{checkpoint_path} is of an early version of sbn, and does not say how images are normalized; "
                    "test it with sbn test, or continue its training, which writes a new checkpoint"
                )
            model.load_state_dict(stored["state_dict"], strict=strict is not False)
        except UsageError:
            raise
        except Exception as error:
            raise classes.unfit("the model", error) from error
        return model.to(map_location or "cpu")

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of each hook here, 40 times a step; nn.Module first looks whether it is a parameter.
        if isinstance(value, str):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, images: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) uint8, 0 to 255, -> logits (N, C)."""
        features = self._features(images) if self.training else self._in_parts(self._features, images)
        return self._sharded.logits(features) if self._sharded else self.head(features)

    def evaluated(self, images: Tensor, labels: Tensor) -> Evaluated:
        """Return the head's loss of pixels (N, 3, H, W) uint8 with labels (N,), and their logits (N, C)."""
        # The head takes the batch as a whole, since a loss need not be the mean of its parts' losses.
        features = self._in_parts(self._features, images)
        return self._sharded.evaluated(features, labels) if self._sharded else evaluated(self.head, features, labels)

    def setup(self, stage: str) -> None:
        if isinstance(self.trainer.strategy, ShardedHeadStrategy):
            # Not a method: callbacks that average weights warn of a model that has this hook.
            self.configure_model = self._divide_head  # type: ignore[method-assign]
        if (data := self._data_of_trainer()) is not None:
            self._check_classes(data)
            if not self._can_normalize:
                self.normalization.set(data.mean, data.std)
                self._can_normalize = stage == "fit"
            if stage == "fit":
                self.trained_on = data
        if not self._must_compile:
            return
        self._must_compile = False  # a trainer calls this again for each stage
        if missing := missing_for_compilation():
            rank_zero_warn(f"The backbone is not compiled, since {missing}; everything else works, but slower.")
        elif self.trainer.world_size > 1:
            self.backbone.compile(dynamic=False)  # in place, so that the weights keep their names
        else:
            self._apply_network, self._apply_all = compiled(applied), compiled(evaluated_images)

    def check_optimizer(self, build: Callable[[Any], Optimizer]) -> None:
        """Try a step of an optimizer where the head's classes are divided among processes; see `ShardedHead`."""
        if self._sharded:
            self._sharded.check_optimizer(build)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.trained_on is not None:
            checkpoint[TRAINED_ON] = msgspec.to_builtins(self.trained_on)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.trained_on = stored_run("the checkpoint", checkpoint).data or self.trained_on
        if self.trained_on is not None:
            self._check_classes(self.trained_on)
            add_normalization(checkpoint["state_dict"], self.trained_on)
        self._can_normalize = True

    def on_fit_start(self) -> None:
        if (data := self._data_of_trainer()) is not None:
            self.trained_on = data  # also where the checkpoint that is continued was trained on other data
        height, width = getattr(self.trainer.datamodule, "image_shape", (3, 0, 0))[1:]
        if 0 < min(height, width) < (smallest := self.backbone.min_image_size):
            text = f"{type(self.backbone).__name__} takes images of {smallest}×{smallest} or more, and these are "
            raise UsageError(f"{text}{height}×{width}; choose SmallCNN, or larger images", "model.backbone")

    def on_train_start(self) -> None:
        match_layout(self.trainer.optimizers)
        may_record = self._may_record and can_be_recorded(self.trainer)
        # Also None if an earlier training ended in an exception, and left its graph here.
        self._graph = StepGraph(self._parts, self._compute) if may_record else None
        if self._sharded:
            self._sharded.replicate(self.backbone)

    def on_validation_start(self) -> None:
        if self._sharded:
            self._sharded.share_statistics(self.backbone)

    def on_train_end(self) -> None:
        self._graph = None  # with its memory
        if self._sharded:
            self._sharded.share_statistics(self.backbone)

    def on_train_epoch_start(self) -> None:
        self.head.start_epoch(self.current_epoch)
        if self._graph:
            self._graph.on_epoch_start()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if self._graph:
            self._graph.backward(loss)
        elif self._sharded:
            self._sharded.backward(loss)
        else:
            super().backward(loss, *args, **kwargs)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        if self._sharded and gradient_clip_val:
            self._sharded.clip(self.parameters(), gradient_clip_val, gradient_clip_algorithm or "norm")
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        images, labels = batch
        if self._graph and self.trainer.is_last_batch:
            self._graph.check()
        loss, logits = (self._graph or self._compute)(images, labels)
        if self._graph:
            logits = logits.clone()  # the next step overwrites what the graph gives, and the logits are kept
        self.train_metrics.update(loss, logits, labels)
        outputs = {"loss": loss, "logits": logits, "labels": labels}
        if step_is_logged(self.trainer, self.trainer.global_step + 1, batch_idx):
            self._log_batch(outputs)
        if self.trainer.world_size > 1 and not self._sharded:
            outputs["loss"] = outputs["loss"] * self._share_of_batch(len(outputs["labels"]))
        return outputs

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self._evaluation_step(batch, self.val_metrics)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self._evaluation_step(batch, self.test_metrics)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        images, labels = batch
        return {"logits": self(images), "labels": labels}

    def on_train_epoch_end(self) -> None:
        self._log_stage("train", self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        self._log_stage(getattr(self.trainer.datamodule, "validation_stage", "val"), self.val_metrics)

    def on_test_epoch_end(self) -> None:
        self._log_stage("test", self.test_metrics)

    def _divide_head(self) -> None:
        if self._sharded is None:  # a trainer calls this again for each stage
            self._sharded = ShardedHead(self.head, self.trainer.strategy.root_device)

    def _compute(self, images: Tensor, labels: Tensor) -> Evaluated:
        form = (self.dtype, self.memory_format)
        if self._sharded:
            features = self._apply_network(self.normalization, self._sharded.backbone, images, *form)
            return self._sharded.evaluated(features, labels)
        return self._apply_all(*self._parts, images, labels, *form)

    def _evaluation_step(self, batch: tuple[Tensor, Tensor], metrics: StageMetrics) -> dict[str, Tensor]:
        images, labels = batch
        loss, logits = self.evaluated(images, labels)
        metrics.update(loss, logits, labels)
        return {"loss": loss, "logits": logits, "labels": labels}

    def _features(self, images: Tensor) -> Tensor:
        return self._apply_network(self.normalization, self.backbone, images, self.dtype, self.memory_format)

    def _inferred(self, function: Callable[[Tensor], Tensor], images: Images, batch_size: int) -> Tensor:
        """Return what a function of pixels gives in evaluation mode, joined on the CPU."""
        data, trained = self._known_data(), [module for module in self.modules() if module.training]
        self.eval()
        try:
            with torch.inference_mode():
                batches = batches_of(images, batch_size, data)
                parts = [function(batch.to(self.device)).cpu() for batch in batches]
        finally:
            for module in trained:  # others, such as a frozen backbone, were in evaluation mode before
                module.training = True
        return torch.cat(parts)

    def _known_data(self) -> TrainedOn:
        if self.trained_on is None:
            raise UsageError(
                "the model does not know its classes and image size, since it was not trained on an ImageDataModule; "
                "call it with pixels (N, 3, H, W) of type uint8, which gives logits"
            )
        return self.trained_on

    @property
    def _parts(self) -> tuple[Normalization, Backbone, Head]:
        return self.normalization, self.backbone, self.head

    def _data_of_trainer(self) -> TrainedOn | None:
        """What the trainer's data are; None if they are not an ImageDataModule."""
        identity = getattr(getattr(self.trainer, "datamodule", None), "identity", None)
        return None if identity is None else identity()

    def _check_classes(self, data: TrainedOn) -> None:
        """Refuse data of another number of classes than the model has outputs."""
        outputs, classes = self.head.num_classes, len(data.class_names)
        if outputs != classes:
            raise UsageError(
                f"the model tells {outputs} classes apart, and its data have {classes} ({names(data.class_names)}); "
                f"build the model with num_classes={classes}"
            )

    def _log_batch(self, outputs: dict[str, Tensor]) -> None:
        if is_smaller_last_batch(self.trainer):
            forget_step_values(self.trainer, BATCH_TAGS)
            return
        accuracy = (outputs["logits"].argmax(1) == outputs["labels"]).float().mean()
        # Not with prog_bar=True: Lightning would read it from the device in every step.
        self.log_dict(dict(zip(BATCH_TAGS, (outputs["loss"].detach(), accuracy), strict=True)))

    def _log_stage(self, stage: str, metrics: StageMetrics) -> None:
        measured = metrics.compute()
        metrics.reset()
        values = {f"{stage}/{measure.name}": measured[measure.name] for measure in MEASURES}
        # Every process has the same values: their maximum is what each has.
        self.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, reduce_fx="max")

    def _share_of_batch(self, num_images: int) -> Tensor:
        """Return k * num_images / the whole batch's, which makes the mean of k gradients that of the whole batch."""
        # Filled on the device, and summed without the strategy's barrier: otherwise the host would wait.
        total = torch.full((), float(num_images), device=self.device)
        torch.distributed.all_reduce(total)
        return num_images * self.trainer.world_size / total


def applied(
    normalization: Normalization, backbone: Backbone, images: Tensor, dtype: torch.dtype, layout: torch.memory_format
) -> Tensor:
    """Return the features (N, D) of pixels (N, 3, H, W) uint8, which the backbone gets normalized, in this type (the
    trainer's precision may be 64-true or bf16-true) and memory layout."""
    return backbone(normalization(images).to(dtype, memory_format=layout))


def evaluated(head: Head, features: Tensor, labels: Tensor) -> Evaluated:
    """Return the loss of features (N, D), and their logits (N, C), detached."""
    # With precision bf16-true the head computes in bfloat16, which rounds a loss to two or three digits.
    logits = head(features)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return head.loss(logits, labels, features), logits.detach()


def evaluated_images(
    normalization: Normalization, backbone: Backbone, head: Head, images: Tensor, labels: Tensor, *form: Any
) -> Evaluated:
    """Return the same for pixels (N, 3, H, W) uint8; see `applied` for the form of the backbone's input."""
    return evaluated(head, applied(normalization, backbone, images, *form), labels)
