"""Runs a grid on this machine: one process per run, a limited number at a time.

A slot is what each run gets: GPUs or cores, as variables of its processes. They are found without torch, which takes
seconds to import.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

from sbn_lightning.errors import LockedError, UsageError
from sbn_lightning.reproduce.board import LEFT, Board
from sbn_lightning.reproduce.run_one import RUNNER_LOCK, TICK, Stop, finish
from sbn_lightning.run.lock import is_locked
from sbn_lightning.run.records import RunState

RUNS_PER_CORE = 2  # more processes only push each other out of the caches
LOOK_ELSEWHERE = 2.0  # seconds between two looks at the runs that others have


class LocalRunner:
    """Finishes every run of a board. A run that others have is waited for, and is continued if they stop."""

    def __init__(self, slots: Sequence[dict[str, str]], board: Board, stop: Stop) -> None:
        self.slots, self.board, self.stop = slots, board, stop
        board.retry()
        self.elsewhere = board.having(RunState.RUNNING)
        self.waiting = board.having(*LEFT)
        self.running: dict[int, tuple[str, Iterator[None]]] = {}  # by slot
        self.orphans = 0  # trainings whose runner was killed
        self.looked = -LOOK_ELSEWHERE

    def __iter__(self) -> Iterator[None]:
        """Yield after each look at the runs, until all are finished."""
        if self.elsewhere:
            print(f"{len(self.elsewhere)} of them train already, started by another command: they are waited for")
        while self.running or (self.stop.number is None and (self.waiting or self.elsewhere)):
            self._look_elsewhere()
            self._start()
            for slot in list(self.running):
                self._go_on(slot)
            yield
            time.sleep(TICK)

    def _look_elsewhere(self) -> None:
        """Take a run again that no other process trains any more."""
        if time.monotonic() - self.looked < LOOK_ELSEWHERE:
            return
        self.looked = time.monotonic()
        free = [folder for folder in self.elsewhere if self.board.look(folder) is not RunState.RUNNING]
        self.elsewhere = [folder for folder in self.elsewhere if folder not in free]
        self.waiting = free + self.waiting
        self.orphans = sum(not is_locked(self.board.root / folder, RUNNER_LOCK) for folder in self.elsewhere)

    def _start(self) -> None:
        """Start as many runs as there are free slots; a training whose runner was killed takes one of the slots."""
        while self.stop.number is None and self.waiting and len(self.running) + self.orphans < len(self.slots):
            folder = self.waiting.pop(0)
            state = self.board.look(folder)
            if state is RunState.RUNNING:
                self.elsewhere.append(folder)
            elif state in LEFT:  # neither finished nor failed by another runner meanwhile
                slot = next(slot for slot in range(len(self.slots)) if slot not in self.running)
                self.board.mark(folder, RunState.RUNNING)
                work = finish(self.board.root, self.board.runs[folder], self.slots[slot], self.stop)
                self.running[slot] = (folder, work)

    def _go_on(self, slot: int) -> None:
        """Let a run go on, and free its slot if it is at its end."""
        folder, work = self.running[slot]
        try:
            next(work)
            return
        except StopIteration:
            if self.board.look(folder) is RunState.RUNNING:
                self.elsewhere.append(folder)
        except LockedError:
            self.board.mark(folder, RunState.RUNNING)
            self.elsewhere.append(folder)
        except UsageError as error:
            self.board.mark(folder, RunState.FAILED, str(error))
        del self.running[slot]


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
    """Return the environment of each run that trains at a time; if there are fewer GPUs, several runs share one.

    Args:
        jobs: Number of runs at a time; None for one per GPU, or for one without a GPU.
        accelerator, devices: The runs' trainer.accelerator and trainer.devices, the number of GPUs for each.

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


def describe(environments: Sequence[dict[str, str]]) -> str:
    """Return in words what the runs are spread over."""
    gpus = sorted({environment.get("CUDA_VISIBLE_DEVICES", "") for environment in environments} - {""})
    if gpus:
        return f"{len(environments)} at a time on GPU {' and '.join(gpus)}"
    threads = environments[0]["OMP_NUM_THREADS"]
    return f"{len(environments)} at a time on the CPU, {threads} thread{'' if threads == '1' else 's'} each"
