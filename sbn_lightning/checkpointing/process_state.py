"""What each process holds for itself and Lightning does not save: its random numbers and unfinished metrics."""

import random
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torchmetrics import Metric

from sbn_lightning.checkpointing.lightning_internals import continue_metric


def process_state(pl_module: LightningModule) -> dict[str, Any]:
    """Return this process's state as plain data, in the CPU's memory.

    It is {"random": see `random_state`, "metrics": {metric: {"values": its state so far in the running epoch,
    "updates": their number}}}.
    """
    states = {
        name: {"updates": metric.update_count, "values": metric.metric_state}
        for name, metric in metrics(pl_module).items()
        if metric.update_count
    }
    return {"random": random_state(pl_module.device), "metrics": move_data_to_device(states, "cpu")}


def restore_process(processes: list[dict[str, Any]], trainer: Trainer, pl_module: LightningModule) -> None:
    """Let this process continue from its own state, one of those of all processes that a checkpoint holds.

    On another number of processes none has one. Metrics of an earlier version, whose states are others, count the rest
    of the epoch only.
    """
    if len(processes) != trainer.world_size:
        rank_zero_warn(
            f"the checkpoint is of {len(processes)} processes, and training continues on {trainer.world_size}: the "
            "result is no longer bit-identical to an uninterrupted run's, and if an epoch is continued, its training "
            "metrics count the remaining steps only"
        )
        return
    state = processes[trainer.global_rank]
    for name, metric in metrics(pl_module).items():
        measured = move_data_to_device(state["metrics"].get(name), pl_module.device)
        if measured and measured["values"].keys() == metric.metric_state.keys():
            continue_metric(metric, measured["values"], measured["updates"])
    buffers = dict(pl_module.named_buffers())
    for name, buffer in state.get("buffers", {}).items():  # earlier versions also saved within a validation
        buffers[name].copy_(buffer)
    load_random_state(state["random"], pl_module.device)


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every random number generator that a step may draw from: torch, CUDA, numpy, Python."""
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
