"""Sums and moments over the batch of all devices, with gradients.

Every function here is a collective: in a distributed run all processes must call it, in the same order. In a run of one
process, and inside `whole_batch`, it works on this process's batch alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_holds_whole_batch = False


def num_devices() -> int:
    """The number of processes that share a batch, one device each; 1 where torch.distributed is not in use."""
    is_shared = dist.is_available() and dist.is_initialized() and not _holds_whole_batch
    return dist.get_world_size() if is_shared else 1


@contextmanager
def whole_batch() -> Iterator[None]:
    """A context in which every process holds the batch of all devices: there is nothing to sum over them."""
    global _holds_whole_batch
    _holds_whole_batch = True
    try:
        yield
    finally:
        _holds_whole_batch = False


def sum_over_devices(tensor: Tensor) -> Tensor:
    """The sum of every device's tensor (of one shape), on every device, with gradient.

        y = sum_d x_d,    dL/dx_d = sum_e dL_e/dy,    where L = sum_e L_e over the devices' losses

    Where the devices' losses are weighted so that their mean is the loss of the whole batch, DDP's averaged gradients
    are then exactly those of one device that holds the whole batch, also if the devices' shares of it differ.
    """
    return _SumOverDevices.apply(tensor) if num_devices() > 1 else tensor


def mean_over_devices(values: Tensor) -> Tensor:
    """(n,) -> scalar: the mean of the N values of all devices, with gradient; their shares n may differ."""
    values = _at_least_float32(values)
    total, count = sum_over_devices(torch.stack([values.sum(), values.new_full((), values.shape[0])]))
    return total / count


def batch_moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, C) -> (C,), (C,), (): mean, biased variance and number N of the samples of all devices, with gradients.

        mean_c = sum_n v[n, c] / N,    var_c = sum_n (v[n, c] - mean_c)^2 / N

    In two passes, since E[v^2] - mean^2 loses its digits in float32 where |mean| is much larger than the deviation. N
    is summed with the values: shares n may differ between devices, and no device waits for a number from the CPU.
    """
    values = _at_least_float32(values)
    share = values.new_full((1,), values.shape[0])
    totals = sum_over_devices(torch.cat([values.sum(dim=0), share]))
    count = totals[-1].detach()
    mean = totals[:-1] / count
    variance = sum_over_devices((values - mean).square().sum(dim=0)) / count
    return mean, variance, count


def _at_least_float32(values: Tensor) -> Tensor:
    """In bfloat16 even the number of samples would be rounded, from 257 on."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class _SumOverDevices(torch.autograd.Function):
    """All-reduce by sum; its derivative is an all-reduce by sum again."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)  # all_reduce works in place
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _SumOverDevices.apply(gradient)
