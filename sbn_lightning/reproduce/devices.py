"""The GPUs and cores that each run gets; found without torch, which takes seconds to import."""

import os
import subprocess
from collections.abc import Sequence
from typing import Any

from sbn_lightning.errors import UsageError

RUNS_PER_CORE = 2  # more processes only push each other out of the caches


def visible_gpus() -> list[str]:
    """Return the names in CUDA_VISIBLE_DEVICES; if it is not set, the numbers of the GPUs that nvidia-smi lists."""
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
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slots(jobs: int | None, accelerator: Any = None, devices: Any = None) -> list[dict[str, str]]:
    """Return the environment of each run that trains at a time.

    Args:
        jobs: Number of runs at a time; None for one per GPU, or for one without a GPU. If there are fewer GPUs, several
            runs share one.
        accelerator: trainer.accelerator of the runs.
        devices: trainer.devices of the runs: the number of GPUs for each.

    Raises:
        UsageError: If there are too few GPUs or cores.
    """
    gpus = [] if accelerator == "cpu" else visible_gpus()
    if not gpus:
        return slots_on_cpu(jobs or 1)
    each = len(gpus) if devices == -1 else int(devices) if isinstance(devices, int | float) else 1
    if each > len(gpus):
        raise UsageError(f"trainer.devices is {each}, but this machine shows {len(gpus)} GPUs ({', '.join(gpus)})")
    groups = [gpus[start : start + each] for start in range(0, len(gpus) - each + 1, each)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(groups[job % len(groups)])} for job in range(jobs or len(groups))]


def slots_on_cpu(jobs: int) -> list[dict[str, str]]:
    """Return the environments of runs that divide the cores among them."""
    if jobs > max(1, RUNS_PER_CORE * cores()):
        raise UsageError(
            f"no GPU for --jobs {jobs}: this machine shows none and has {cores()} CPU cores; use --jobs "
            f"{RUNS_PER_CORE * cores()} at most, or --cluster slurm. Name a GPU that is there but not shown in "
            "CUDA_VISIBLE_DEVICES"
        )
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // jobs))
    return [{"OMP_NUM_THREADS": threads} for _ in range(jobs)]


def names(environments: Sequence[dict[str, str]]) -> str:
    """Return in words what the runs are spread over."""
    gpus = sorted({environment.get("CUDA_VISIBLE_DEVICES", "") for environment in environments} - {""})
    if gpus:
        return f"{len(environments)} at a time on GPU {' and '.join(gpus)}"
    threads = environments[0]["OMP_NUM_THREADS"]
    return f"{len(environments)} at a time on the CPU, {threads} thread{'' if threads == '1' else 's'} each"
