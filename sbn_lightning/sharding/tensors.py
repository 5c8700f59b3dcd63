"""Tensors of which each process holds only its own rows: torch's DTensor, divided along the first dimension."""

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard


def divided(tensor: Tensor, mesh: DeviceMesh, device: torch.device) -> DTensor:
    """Divide a tensor that all processes hold: each keeps only its own rows of it, on its device.

    With n = ceil(rows / k), process r of k keeps the rows from r·n on: n of them, or what is left.
    """
    rows = tensor.detach().chunk(mesh.size())[mesh.get_local_rank()].to(device, copy=True)
    return DTensor.from_local(rows, mesh, [Shard(0)], run_check=False, shape=tensor.shape, stride=tensor.stride())


def classes_of(num_classes: int, num_processes: int) -> list[int]:
    """Return how many classes each process has, in their order, as DTensor divides them."""
    most = -(-num_classes // num_processes)
    return [max(0, min(most, num_classes - rank * most)) for rank in range(num_processes)]


def is_divided(tensor: Tensor) -> bool:
    """Whether each process holds only its own rows of a tensor."""
    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor with the rows of all processes. If it is divided, all of them must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor, in the same memory; all of it, if it is not divided."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
