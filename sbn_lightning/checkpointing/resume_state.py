"""What continuing a run takes and Lightning does not save: the run's settings, and each process's own state."""

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torchmetrics import Metric

from sbn_lightning.checkpointing.lightning_internals import continue_metric
from sbn_lightning.errors import UsageError


@dataclass
class ProcessState:
    """What one process holds for itself, in the CPU's memory.

    Attributes:
        random: State of every random number generator that a step may draw from: torch, CUDA, numpy, Python.
        metrics: {metric: {"values": its state so far in the running epoch, "updates": their number}}.
        buffers: The model's buffers, which earlier versions saved in a validation on several processes.
    """

    random: dict[str, Any]
    metrics: dict[str, Any]
    buffers: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, pl_module: LightningModule) -> "ProcessState":
        """Return a copy of this process's state as it is now."""
        states = {
            name: {"updates": metric.update_count, "values": metric.metric_state}
            for name, metric in metrics(pl_module).items()
            if metric.update_count
        }
        return cls(random_state(pl_module.device), copied_to("cpu", states))

    def restore(self, pl_module: LightningModule) -> None:
        """Put the state back into this process."""
        for name, metric in metrics(pl_module).items():
            if state := self.metrics.get(name):
                continue_metric(metric, copied_to(pl_module.device, state["values"]), state["updates"])
        own = dict(pl_module.named_buffers())
        for name, buffer in self.buffers.items():
            own[name].copy_(buffer)
        load_random_state(self.random, pl_module.device)


@dataclass
class ResumeState:
    """What `sbn fit` adds to a checkpoint.

    Attributes:
        settings: The command's, to be compared with those of the command that continues: {option: value}.
        images: Number of images in each split.
        buffers: Names of the model's buffers: its state without them is its weights.
        callback_metrics: The last value of each logged metric.
        processes: The state of each process.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    buffers: list[str] = field(default_factory=list)
    callback_metrics: dict[str, Tensor] = field(default_factory=dict)
    processes: list[ProcessState] = field(default_factory=list)

    def write(self, checkpoint: dict[str, Any]) -> None:
        """Put the state into a checkpoint, as plain data."""
        checkpoint["run"] = {"settings": self.settings, "images": self.images, "buffers": self.buffers}
        checkpoint["callback_metrics"] = copied_to("cpu", self.callback_metrics)
        checkpoint["processes"] = [vars(process) for process in self.processes]

    @classmethod
    def read(cls, checkpoint: dict[str, Any], source: str = "the checkpoint") -> "ResumeState":
        """Return the state that a checkpoint holds; an empty one if another program than `sbn fit` wrote it."""
        run = checkpoint.get("run", {})
        try:
            return cls(
                settings=dict(run.get("settings", {})),
                images=dict(run.get("images", {})),
                buffers=list(run.get("buffers", [])),
                callback_metrics=dict(checkpoint.get("callback_metrics", {})),
                processes=[ProcessState(**process) for process in checkpoint.get("processes", [])],
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


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every random number generator that a step may draw from."""
    name, keys, *rest = np.random.get_state()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "python": random.getstate(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def load_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Let the generators continue where the state was taken."""
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))  # lists, in earlier checkpoints
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def metrics(pl_module: LightningModule) -> dict[str, Metric]:
    """Return every metric of the module by its name."""
    return {name: module for name, module in pl_module.named_modules() if isinstance(module, Metric)}


def copied_to(device: torch.device | str, state: Any) -> Any:
    """Return a copy of nested dicts and lists, with its tensors on a device."""
    if isinstance(state, dict):
        return {name: copied_to(device, value) for name, value in state.items()}
    if isinstance(state, list):
        return [copied_to(device, value) for value in state]
    return state.detach().to(device, copy=True) if isinstance(state, Tensor) else state
