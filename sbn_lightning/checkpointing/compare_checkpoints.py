"""Whether two checkpoints are the same, bit for bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

OF_THE_MACHINE = {"seconds", "peak_memory_bytes", "run_dir", "dirpath", "best_model_path", "last_model_path"}
"""Keys whose values tell of the machine or of where the run lies, not of what was computed."""


@dataclass(frozen=True)
class Group:
    """What two checkpoints hold of one kind.

    Args:
        name: Of the kind.
        compared: Number of values.
        different: Names of those that differ.
        first: What the first difference is; empty for none.
    """

    name: str
    compared: int
    different: tuple[str, ...]
    first: str


def compare_checkpoints(a: Path, b: Path) -> list[Group]:
    """Compare two checkpoint files: weights, buffers, optimizer, schedule, metrics, random states, position."""
    a_values, b_values = (named_values(torch.load(file, map_location="cpu", weights_only=True)) for file in (a, b))
    groups = []
    for name in a_values:
        ours, theirs = a_values[name], b_values[name]
        different = tuple(key for key in sorted(ours | theirs) if not same(ours.get(key), theirs.get(key)))
        first = f"{different[0]}: {difference(ours.get(different[0]), theirs.get(different[0]))}" if different else ""
        groups.append(Group(name, len(ours | theirs), different, first))
    return groups


def named_values(checkpoint: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{kind: {name: tensor or plain value}} of everything that decides how training goes on."""
    buffers = set(checkpoint["run"]["buffers"])
    state, processes = checkpoint["state_dict"], checkpoint["processes"]
    metrics = {
        "of each process": [process["metrics"] for process in processes],
        "logged": checkpoint["callback_metrics"],
        "callbacks": checkpoint["callbacks"],
    }
    position = {name: checkpoint[name] for name in ("loops", "epoch", "global_step")}
    kinds = {
        "weights": {name: value for name, value in state.items() if name not in buffers},
        "buffers": {name: value for name, value in state.items() if name in buffers},
        "optimizer": [checkpoint["optimizer_states"], checkpoint.get("MixedPrecision", {})],
        "schedule": checkpoint["lr_schedulers"],
        "metrics": metrics,
        "random states": [process["random"] for process in processes],
        "position": position,
    }
    return {kind: dict(leaves(value)) for kind, value in kinds.items()}


def leaves(nested: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, tensor or plain value) of everything in nested dicts; lists without containers stay whole."""
    if isinstance(nested, (list, tuple)) and any(isinstance(value, (dict, list, Tensor)) for value in nested):
        nested = dict(enumerate(nested))
    if isinstance(nested, dict):
        for key, value in nested.items():
            if key not in OF_THE_MACHINE:
                yield from leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, nested


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal in every bit (a NaN equals itself)."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and as_bytes(a) == as_bytes(b)
    return type(a) is type(b) and (a == b or (a != a and b != b))


def as_bytes(tensor: Tensor) -> bytes:
    """The tensor's memory."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def difference(a: Any, b: Any) -> str:
    """How two values differ, in a few words."""
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape:
        return f"up to {(a.double() - b.double()).abs().max():.3g}"
    return f"{brief(a)} against {brief(b)}"


def brief(value: Any) -> str:
    """A value in at most 40 characters."""
    text = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
