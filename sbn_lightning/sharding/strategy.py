"""The strategy of a training whose head is divided among the processes."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from sbn_lightning.sharding.tensors import divided, whole

NAME = "sharded_head"
"""What the strategy is called in `--trainer.strategy`."""


class ShardedHeadStrategy(ModelParallelStrategy):
    """Divides the head's classes among the processes, where their weights, gradients and momenta would fill a device.

    Each process trains the whole backbone on its part of a batch, and the weights of its own classes on the whole
    batch; see `sharding.head.ShardedHead`. Results are those of one process, except for rounding, and for batch
    normalization inside the backbone, which takes the statistics of the process's part of a batch. A checkpoint is one
    file with all weights, the same as that of one process: a training can be continued, tested and exported on any
    number of processes. While a checkpoint is written, each device holds one whole tensor at a time, and the first
    process holds all of them in the memory of its machine.

    Args:
        process_group_backend: How processes communicate; null for NCCL on GPUs, and gloo on CPUs.
    """

    def __init__(self, process_group_backend: str | None = None) -> None:
        super().__init__(save_distributed_checkpoint=False, process_group_backend=process_group_backend)

    # The two properties make Lightning restore a checkpoint at the same moment as on one process.

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the model's whole state on the first process, and nothing on the others. All must call this."""
        assert self.lightning_module is not None
        return self._on_first(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return an optimizer's whole state on the first process, and nothing on the others. All must call this."""
        state = optimizer.state_dict()
        parts = {number: self._on_first(of_parameter) for number, of_parameter in state["state"].items()}
        return {**state, "state": parts} if self.is_global_zero else {}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Return what a checkpoint holds; every process reads it."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Give the model its state, of which this process keeps its own rows."""
        assert self.lightning_module is not None
        ours, theirs = self.lightning_module.state_dict(), checkpoint["state_dict"]
        own = {name: divided_like(ours.get(name), value) for name, value in theirs.items()}
        self.lightning_module.load_state_dict(own, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Give the optimizers their states, of which this process keeps its own rows."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            own = {
                number: {name: divided_like(parameters[number], value) for name, value in values.items()}
                for number, values in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": own})

    def _on_first(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values on the first process, with divided tensors whole and on the CPU; nothing on the others."""
        kept = {}
        for name, value in values.items():
            full = whole(value).cpu() if isinstance(value, DTensor) else value
            if self.is_global_zero:
                kept[name] = full
        return kept


StrategyRegistry.register(NAME, ShardedHeadStrategy, "Divides the head's classes among the processes.")


def divided_like(tensor: Any, value: Any) -> Any:
    """Return a value of a tensor's shape divided as the tensor is, and any other one as it is."""
    if not isinstance(tensor, DTensor) or not isinstance(value, Tensor) or value.shape != tensor.shape:
        return value
    return divided(value, tensor.device_mesh, tensor.to_local().device)
