"""The forward and backward pass of a training step as one CUDA graph."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn

from sbn_lightning.errors import UsageError

WARM_UP = 3
"""Steps of a batch size that are computed as usual first: they compile, and choose convolutions."""

VALUES = (bool, int, float, str, type(None))
OF_TENSORS = ("._parameters", "._buffers")  # where a module keeps them


class StepGraph:
    """Records the kernels of a training step on a GPU and plays them again, so that the host makes one call instead of
    some hundred for the forward pass, the backward pass and the addition of gradients.

    The graph repeats what was recorded. From one step to the next, only the tensors that the step is called with may
    change, and the values of parameters and buffers. At the start of an epoch, the step is recorded again if an
    attribute of a module has changed, or if other parameters are trained than before. Batches of another size, such as
    an epoch's last one, are computed as usual.

    Args:
        modules: What `compute` uses, and whose parameters are trained.
        compute: Takes tensors and returns a tuple whose first element is the loss, to be differentiated, and all of
            whose elements are tensors or tuples of tensors. They are overwritten in the next step.

    Raises:
        UsageError: If a step cannot be recorded, because it reads values from the device, for example; or if the value
            of a setting has changed within an epoch, after the step was recorded.
    """

    def __init__(self, modules: Sequence[nn.Module], compute: Callable[..., tuple[Any, ...]]) -> None:
        self.model = nn.ModuleList(modules)
        self.compute = compute
        self._is_played = False  # in this step
        self._settings = settings_of(self.model)  # at the start of the epoch, or, if it is later, at the recording
        self._forget()

    def _forget(self) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None
        self._shapes: list[torch.Size] = []  # of the inputs of the step that is recorded, or warmed up
        self._steps = 0  # of these shapes
        self._inputs: list[Tensor] = []
        self._outputs: tuple[Any, ...] = ()
        self._gradients: list[tuple[nn.Parameter, Tensor | None]] = []

    def on_epoch_start(self) -> None:
        """Forget the recording if the step is no longer the one that was recorded."""
        if (settings := settings_of(self.model)) != self._settings:
            self._settings = settings
            self._forget()

    def check(self) -> None:
        """Refuse to go on if the recording is no longer what the modules would compute."""
        if self._graph is None:
            return
        for name, now in settings_of(self.model).items():
            before = self._settings.get(name, now)
            # Other objects, such as features that a module keeps, may come and go within an epoch.
            is_decisive = name.endswith(OF_TENSORS) or (isinstance(now[1], VALUES) and isinstance(before[1], VALUES))
            if now != before and is_decisive:
                raise UsageError(
                    f"{name} has changed within an epoch, but the CUDA graph of a training step still computes with "
                    "its former value; make it a buffer that is changed in place, or switch the graph off with "
                    "--model.cuda_graph false",
                    "model.cuda_graph",
                )

    def __call__(self, *inputs: Tensor) -> tuple[Any, ...]:
        """Return what `compute` gives for the inputs. Where the graph is played, it also computes the gradients."""
        shapes = [one.shape for one in inputs]
        if self._graph is None and shapes != self._shapes:
            self._shapes, self._steps = shapes, 0
        self._is_played = shapes == self._shapes and self._steps >= WARM_UP
        if not self._is_played:
            self._steps += shapes == self._shapes
            return self.compute(*inputs)
        graph = self._graph or self._record(inputs)
        for recorded, new in zip(self._inputs, inputs, strict=True):
            recorded.copy_(new)
        graph.replay()
        return self._outputs

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of the loss that the last call returned, or take those that it computed."""
        if not self._is_played:
            loss.backward()
        for parameter, gradient in self._gradients if self._is_played else ():
            parameter.grad = gradient

    def _record(self, inputs: tuple[Tensor, ...]) -> torch.cuda.CUDAGraph:
        for parameter in self.model.parameters():
            parameter.grad = None  # so that the recorded gradients replace what is there
        self._inputs = [one.clone() for one in inputs]
        self._graph = graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                loss, *others = self.compute(*self._inputs)
                with torch.autocast(loss.device.type, enabled=False):
                    loss.backward()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            text = f"a training step cannot be recorded as a CUDA graph ({str(error).partition(chr(10))[0]}); switch it"
            raise UsageError(f"{text} off with --model.cuda_graph false", "model.cuda_graph") from error
        self._outputs = (loss.detach(), *others)
        self._gradients = [(parameter, parameter.grad) for parameter in self.model.parameters()]
        self._settings = settings_of(self.model)
        return graph


def can_be_recorded(trainer: Trainer) -> bool:
    """Whether all steps of a training run the same kernels: on one GPU, without a gradient scaler, without accumulated
    gradients, and without StochasticWeightAveraging, which changes momenta within an epoch."""
    changing = (GradientAccumulationScheduler, StochasticWeightAveraging)
    return (
        isinstance(trainer.strategy, SingleDeviceStrategy)  # others wrap the model, also on one GPU
        and trainer.strategy.root_device.type == "cuda"
        and getattr(trainer.precision_plugin, "scaler", None) is None
        and trainer.accumulate_grad_batches == 1
        and not any(isinstance(one, changing) for one in trainer.callbacks)
    )


def settings_of(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    """Return all that a model's results depend on, apart from the values of its tensors: the attributes of its modules
    by name, the addresses of its tensors, and which of them are trained."""
    return {
        f"{path}.{name}": frozen(value)
        for path, module in model.named_modules()
        for name, value in vars(module).items()
    }


def frozen(value: Any) -> tuple[Any, ...]:
    """Return the type of a value, and something that is unequal once the value has changed."""
    kind = type(value)
    if isinstance(value, VALUES):
        return kind, value
    if isinstance(value, Tensor):
        return kind, (value.data_ptr(), value.requires_grad)
    if isinstance(value, dict):
        return kind, tuple((key, frozen(one)) for key, one in value.items())
    if isinstance(value, list | tuple):
        return kind, tuple(frozen(one) for one in value)
    return kind, (frozenset(value) if isinstance(value, set) else id(value),)
