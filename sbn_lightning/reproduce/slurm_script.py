"""What SLURM is told of a job array."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import submitit
import submitit.slurm.slurm

from sbn_lightning.errors import UsageError

WARNING = 90  # seconds before the end at which SLURM warns


def slurm_options(
    time: str, gpus: int, cpus: int, memory: float | None, jobs: int | None, **names: str | None
) -> dict[str, Any]:
    """What submitit's SLURM executor is told.

    Args:
        time: A run's limit, as `minutes` reads it.
        gpus: For each run.
        cpus: For each run.
        memory: GB for each run; None for the cluster's default.
        jobs: Runs at a time; None for as many as the cluster allows.
        names: partition, account, qos, constraint; None where the cluster's default is meant.
    """
    options: dict[str, Any] = {name: value for name, value in names.items() if value is not None}
    options |= {"job_name": "sbn", "time": minutes(time), "cpus_per_task": cpus, "signal_delay_s": WARNING}
    options |= {"array_parallelism": jobs or 1000, "additional_parameters": {"requeue": True}, "stderr_to_stdout": True}
    if gpus:
        options["gpus_per_node"] = gpus
    if memory is not None:
        options["mem"] = f"{memory * 1024:.0f}MB"
    return options


def minutes(text: str) -> int:
    """Of a time as sbatch has it, but for minutes:seconds, which most would read as hours and minutes.

    Raises:
        UsageError: If it is no time, or not longer than the time of warning.
    """
    days = re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?(?::(\d+))?", text)
    clock = re.fullmatch(r"(?:(\d+):(\d+):)?(\d+)", text)
    if days:
        parts = [int(part or 0) for part in days.groups()]
    elif clock and clock[1]:
        parts = [0, *(int(part) for part in clock.groups())]
    else:
        parts = [0, 0, int(clock[3]) if clock else 0, 0]
    seconds = ((parts[0] * 24 + parts[1]) * 60 + parts[2]) * 60 + parts[3]
    if seconds <= WARNING:
        raise UsageError(
            f"--time is {text!r}; it is a number of minutes, hh:mm:ss (12:00:00 for twelve hours), d-hh or d-hh:mm:ss, "
            "and at least 2 minutes"
        )
    return -(-seconds // 60)


def script(root: Path, options: dict[str, Any], count: int) -> str:
    """The sbatch script of an array of so many jobs."""
    folder = root / "slurm"
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    make = getattr(submitit.slurm.slurm, "_make_sbatch_string", None)
    if make is None:
        return f"(submitit {submitit.__version__} shows no script before it submits; it is then in {folder}/)"
    return str(make(command=command, folder=folder, map_count=count, **options))
