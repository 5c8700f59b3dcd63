"""What a checkpoint holds besides what Lightning puts into it: the run's settings, and each process's own state."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torchmetrics import Metric

from sbn_lightning.checkpointing.torchmetrics_internals import continue_metric
from sbn_lightning.errors import UsageError

Plain = dict[str, Any]
"""Tensors and plain data only."""


@dataclass
class ProcessState:
    """What one process holds for itself.

    Attributes:
        random: State of every random number generator that a step may draw from: torch, CUDA, numpy, Python.
        metrics: What each metric has summed up or collected so far in the running epoch, by the metric's name.
        buffers: The model's buffers, which earlier versions saved in a validation on several processes.
    """

    random: Plain
    metrics: Plain
    buffers: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, pl_module: LightningModule) -> "ProcessState":
        """Return this process's state as it is now."""
        values = {name: metric_state(metric) for name, metric in metrics(pl_module) if metric.update_count}
        return cls(random_state(pl_module.device), values)

    def on_cpu(self) -> "ProcessState":
        """Return the state with its tensors in the CPU's memory."""
        return ProcessState(**on_device(vars(self), "cpu"))

    def restore(self, pl_module: LightningModule) -> None:
        """Put the state back into this process."""
        for name, metric in metrics(pl_module):
            if name in self.metrics:
                values = on_device(self.metrics[name]["values"], pl_module.device)
                continue_metric(metric, values, self.metrics[name]["updates"])
        own = dict(pl_module.named_buffers())
        for name, buffer in self.buffers.items():
            own[name].copy_(buffer)
        load_random_state(self.random, pl_module.device)


@dataclass
class RunState:
    """Everything that continuing a run takes and Lightning does not save.

    Attributes:
        settings: The command's settings, to be compared with those of the command that continues: {option: value}.
        images: Number of images in each split.
        buffers: Names of the model's buffers: its state without them is its weights.
        callback_metrics: The last value of each logged metric.
        processes: The state of each process.
    """

    settings: Plain = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    buffers: list[str] = field(default_factory=list)
    callback_metrics: dict[str, Tensor] = field(default_factory=dict)
    processes: list[ProcessState] = field(default_factory=list)

    def write(self, checkpoint: Plain) -> None:
        """Put the state into a checkpoint, as plain data."""
        checkpoint["run"] = {"settings": self.settings, "images": self.images, "buffers": self.buffers}
        checkpoint["callback_metrics"] = on_device(self.callback_metrics, "cpu")
        checkpoint["processes"] = [vars(process) for process in self.processes]

    @classmethod
    def read(cls, checkpoint: Plain, source: str = "the checkpoint") -> "RunState":
        """Return the state that a checkpoint holds; an empty one if another program than `sbn fit` wrote it.

        Raises:
            UsageError: If its parts are not what `write` put there; it names the source.
        """
        run, processes = checkpoint.get("run", {}), checkpoint.get("processes", [])
        try:
            return cls(
                settings=dict(run.get("settings", {})),
                images=dict(run.get("images", {})),
                buffers=list(run.get("buffers", [])),
                callback_metrics=dict(checkpoint.get("callback_metrics", {})),
                processes=[ProcessState(**process) for process in processes],
            )
        except (TypeError, ValueError) as error:
            raise UsageError(f"the state of the run in {source} cannot be read ({error})") from error

    def restore(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let each process continue from its own state; on another number of processes none has one."""
        count = len(self.processes)
        if count == trainer.world_size:
            self.processes[trainer.global_rank].restore(pl_module)
        elif count:
            rank_zero_warn(
                f"the checkpoint is of {count} processes, and training continues on {trainer.world_size}: the result "
                "is no longer bit-identical to an uninterrupted run's, and if an epoch is continued, its training "
                "metrics count the remaining steps only"
            )


def random_state(device: torch.device) -> Plain:
    """Return the state of every random number generator that a step may draw from."""
    name, keys, *rest = np.random.get_state()
    version, numbers, gauss = random.getstate()
    state: Plain = {
        "torch": torch.get_rng_state(),
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "python": [version, list(numbers), gauss],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def load_random_state(state: Plain, device: torch.device) -> None:
    """Let the generators continue where the state was taken."""
    torch.set_rng_state(state["torch"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def metrics(pl_module: LightningModule) -> Iterator[tuple[str, Metric]]:
    """Yield every metric of the module, with its name."""
    return ((name, module) for name, module in pl_module.named_modules() if isinstance(module, Metric))


def metric_state(metric: Metric) -> Plain:
    """Return what a metric has summed up or collected so far."""
    values = {
        name: list(value) if isinstance(value, list) else value.clone() for name, value in metric.metric_state.items()
    }
    return {"updates": metric.update_count, "values": values}


def on_device(state: Any, device: torch.device | str) -> Any:
    """Return the state with its tensors on a device, and the containers copied."""
    if isinstance(state, dict):
        return {name: on_device(value, device) for name, value in state.items()}
    if isinstance(state, list):
        return [on_device(value, device) for value in state]
    return state.detach().to(device) if isinstance(state, Tensor) else state
