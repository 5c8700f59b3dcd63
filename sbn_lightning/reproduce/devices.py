"""Which GPUs and how many cores a run gets; found without torch, which takes seconds to import."""

import os
import subprocess
from collections.abc import Sequence
from typing import Any

from sbn_lightning.errors import UsageError

RUNS_PER_CORE = 2  # more processes than that only take each other's caches


def visible_gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them; where it is not set, all that nvidia-smi lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() and not name.strip().startswith("-")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [str(number) for number, _ in enumerate(line for line in lines if line.startswith("GPU "))]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def places(jobs: int | None, config: dict[str, Any]) -> list[dict[str, str]]:
    """The environment of each run that trains at a time.

    Args:
        jobs: How many do; None for one per GPU, or one at all without a GPU. With more than there are GPUs, runs share
            one.
        config: Settings of a run; `trainer.devices` GPUs are given to each.

    Raises:
        UsageError: If there are too few GPUs or cores for that.
    """
    gpus = [] if config.get("trainer.accelerator") == "cpu" else visible_gpus()
    if not gpus:
        return places_on_cpu(jobs or 1)
    devices = config.get("trainer.devices", 1)
    each = len(gpus) if devices == -1 else int(devices) if isinstance(devices, int | float) else 1
    if each > len(gpus):
        raise UsageError(f"trainer.devices is {each}, but this machine shows {len(gpus)} GPUs ({', '.join(gpus)})")
    groups = [gpus[start : start + each] for start in range(0, len(gpus) - each + 1, each)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(groups[job % len(groups)])} for job in range(jobs or len(groups))]


def places_on_cpu(jobs: int) -> list[dict[str, str]]:
    """The cores are divided by the number of threads of each."""
    if jobs > max(1, RUNS_PER_CORE * cores()):
        raise UsageError(
            f"no GPU for --jobs {jobs}: this machine shows none and has {cores()} CPU cores; use --jobs "
            f"{RUNS_PER_CORE * cores()} at most, or --cluster slurm. A GPU that is there but not shown is named by "
            "CUDA_VISIBLE_DEVICES"
        )
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // jobs))
    return [{"OMP_NUM_THREADS": threads} for _ in range(jobs)]


def names(environments: Sequence[dict[str, str]]) -> str:
    """What the runs are spread over, for people."""
    gpus = sorted({environment.get("CUDA_VISIBLE_DEVICES", "") for environment in environments} - {""})
    if gpus:
        return f"{len(environments)} at a time on GPU {' and '.join(gpus)}"
    return f"{len(environments)} at a time on the CPU, {environments[0]['OMP_NUM_THREADS']} threads each"
