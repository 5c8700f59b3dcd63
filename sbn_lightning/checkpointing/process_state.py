"""What each process holds for itself: its random numbers and its part of the metrics."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torchmetrics import Metric

State = dict[str, Any]


class ProcessState(Checkpoint):
    """Puts every process's own state into the checkpoint, and gives it back when training continues.

    `checkpoint["processes"]` has an entry for each process: `random` (torch, CUDA, numpy, Python), `metrics` (of those
    under way in an epoch), `buffers` (only in a validation on several processes, whose batch statistics differ). In the
    middle of a validation the state is the one from its start, where it is to be repeated.

    A `Checkpoint` callback, since Lightning calls those last: what others draw at the start is drawn by then.
    """

    def __init__(self) -> None:
        self._before_validation: State | None = None
        self._loaded: list[State] = []

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._before_validation = process_state(pl_module, with_buffers=trainer.world_size > 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._before_validation = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: State) -> None:
        own = to_cpu(self._before_validation or process_state(pl_module))
        checkpoint["processes"] = [own]
        if trainer.world_size > 1:
            checkpoint["processes"] = [None] * trainer.world_size
            torch.distributed.all_gather_object(checkpoint["processes"], own)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: State) -> None:
        self._loaded = checkpoint.get("processes", [])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loaded, rank, count = self._loaded, trainer.global_rank, trainer.world_size
        self._loaded = []
        if not loaded:
            return
        if len(loaded) != count:
            rank_zero_warn(
                f"the checkpoint is of {len(loaded)} processes, continued on {count}: the result is no longer "
                "bit-identical to an uninterrupted run's"
            )
        load_metrics(pl_module, [process["metrics"] for process in loaded[rank::count]])
        if rank < len(loaded):
            load_buffers(pl_module, loaded[rank].get("buffers", {}))
            load_random_state(loaded[rank]["random"], pl_module.device)


def process_state(pl_module: LightningModule, with_buffers: bool = False) -> State:
    """This process's own state; the buffers are the module's, not copies."""
    state: State = {
        "random": random_state(pl_module.device),
        "metrics": {name: metric_state(metric) for name, metric in metrics(pl_module) if metric.update_count},
    }
    if with_buffers:
        state["buffers"] = dict(pl_module.named_buffers())
    return state


def random_state(device: torch.device) -> State:
    """State of every random number generator that a step may draw from, as tensors and plain data."""
    name, keys, *rest = np.random.get_state()
    version, numbers, gauss = random.getstate()
    state: State = {
        "torch": torch.get_rng_state(),
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "python": [version, list(numbers), gauss],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def load_random_state(state: State, device: torch.device) -> None:
    """Go on drawing where the state was taken."""
    torch.set_rng_state(state["torch"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def metrics(pl_module: LightningModule) -> Iterator[tuple[str, Metric]]:
    """Every metric of the module, with its name."""
    return ((name, module) for name, module in pl_module.named_modules() if isinstance(module, Metric))


def metric_state(metric: Metric) -> State:
    """What a metric has summed up or collected so far."""
    values = {
        name: list(value) if isinstance(value, list) else value.clone() for name, value in metric.metric_state.items()
    }
    return {"updates": metric.update_count, "values": values}


def load_metrics(pl_module: LightningModule, processes: list[State]) -> None:
    """Continue the metrics of one process, or of several in one."""
    for name, metric in metrics(pl_module):
        for number, state in enumerate(process[name] for process in processes if name in process):
            values = to_device(state["values"], pl_module.device)
            if number == 0:
                for value_name, value in values.items():
                    setattr(metric, value_name, value)
            else:
                metric.merge_state(values)
            metric._update_count += state["updates"]


def load_buffers(pl_module: LightningModule, buffers: dict[str, Tensor]) -> None:
    """Put this process's own buffers in place of the first process's."""
    own = dict(pl_module.named_buffers())
    for name, buffer in buffers.items():
        own[name].copy_(buffer)


def to_device(state: Any, device: torch.device | str) -> Any:
    """The state with its tensors on a device, the containers copied."""
    if isinstance(state, dict):
        return {name: to_device(value, device) for name, value in state.items()}
    if isinstance(state, list):
        return [to_device(value, device) for value in state]
    return state.detach().to(device) if isinstance(state, Tensor) else state


def to_cpu(state: State) -> State:
    """The state with its tensors in the CPU's memory."""
    return to_device(state, "cpu")
