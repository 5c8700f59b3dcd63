"""What makes a step faster without changing what it computes."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, empty_like
from torch.optim import Optimizer

Result = TypeVar("Result")


def compiled(function: Callable[..., Result]) -> Callable[..., Result]:
    """Return the function, of tensors and modules, as torch.compile makes it.

    Each size of a batch is compiled separately: an epoch has two, since its last batch is smaller; an evaluation on a
    GPU mostly has one, see `data.loader.size_for_gpus`.
    """
    return torch.compile(function, dynamic=False)


def missing_for_compilation() -> str | None:
    """Say what torch.compile needs and this machine lacks; None if nothing is missing."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler {compiler} (install it, or name another one in $CXX)"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return None if header.is_file() else f"there is no {header} (install Python's development files, python3-dev)"


def match_layout(optimizers: Iterable[Optimizer]) -> None:
    """Convert the optimizers' state to the weights' memory layout, if a checkpoint had another one.

    A fused optimizer reads weight and momentum in the order in which they lie in memory, on a CPU without a check. It
    also counts its steps on the weights' device, other optimizers on the CPU.
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"] if group.get("fused") else ():
                if isinstance(step := optimizer.state.get(parameter, {}).get("step"), Tensor):
                    optimizer.state[parameter]["step"] = step.to(parameter.device)
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                same_shape = isinstance(value, Tensor) and value.shape == parameter.shape
                if same_shape and value.stride() != parameter.stride():
                    state[name] = empty_like(parameter, dtype=value.dtype).copy_(value)
