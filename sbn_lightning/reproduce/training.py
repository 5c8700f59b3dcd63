"""The process of one `sbn fit` or `sbn test` of a grid."""

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import IO


def start_training(command: Sequence[str], log: IO[bytes], descriptor: int) -> "subprocess.Popen[bytes]":
    """Start it.

    Args:
        log: Takes what it prints.
        descriptor: The lock of its run's folder, which it inherits.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=child_environment(),
        pass_fds=[descriptor],
        start_new_session=True,  # Ctrl-C in a terminal reaches it once, through ask_to_end
        preexec_fn=ignore_usr2,
    )


def how_it_ended(code: int) -> str:
    """What is said of one that left its work undone."""
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL): the machine may have run out of memory; the same command continues it"
    if code:
        return f"ended with exit code {code}"
    return "ended before its last epoch; a run of a grid trains all of trainer.max_epochs"


def child_environment() -> dict[str, str]:
    """Without the traces of a SLURM job, from which Lightning would conclude that srun starts a process per GPU."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def ignore_usr2() -> None:
    """SLURM sends its warning to all processes of a job at once, and this one would kill a training; the supervisor
    asks it to save and end."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
