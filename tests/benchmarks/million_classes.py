"""A head of a million classes on two processes that divide it, beside the same head on one."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch import nn

from sbn_lightning.classifier import evaluated
from sbn_lightning.heads import ScaledBatchNormHead
from sbn_lightning.sharding.head import ShardedHead
from tests.benchmarks.comparison import Row, duration

C, D, N = 1_000_000, 512, 32
STEPS = 5  # after one in which the optimizer allocates its momentum
PROGRAM = "tests.benchmarks.million_classes"


def rows() -> Iterator[Row]:
    """Peak memory of a process, and the time of a step: two processes of one thread, and one of two threads."""
    one, two = measured(1), measured(2)
    what = f"a head of {C:,} classes × {D}, batch of {N}, SGD with momentum, on 2 processes beside 1"
    peaks = [max(process["bytes"] for process in processes) for processes in (two, one)]
    memory = f"{what}: peak memory of a process with Python and torch, without the files of libraries"
    sizes = [f"{peak / 1e9:.2f} GB" for peak in peaks]
    yield Row(memory, *sizes, f"{peaks[0] / peaks[1]:.3g}× the bytes", "at most 0.55×")
    seconds = [max(process["seconds"] for process in processes) for processes in (two, one)]
    times = [duration(value) for value in seconds]
    yield Row(f"{what}: step on the same 2 cores", *times, f"{seconds[0] / seconds[1]:.3g}× the time", "")


def measured(processes: int) -> list[dict[str, Any]]:
    """What each of so many processes reports of its training."""
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29643"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", PROGRAM], stdout=subprocess.PIPE, text=True,
            env=os.environ | shared | {"RANK": str(rank), "OMP_NUM_THREADS": str(2 // processes)},
        )
        for rank in range(processes)
    ]  # fmt: skip
    return [json.loads(process.communicate()[0]) for process in started]


def train() -> dict[str, float]:
    """Train a linear backbone and the head; one process with the whole head, several with their part of it."""
    torch.manual_seed(0)
    backbone, head = nn.Linear(100, D), ScaledBatchNormHead(D, C)
    processes = int(os.environ["WORLD_SIZE"])
    sharded = None
    if processes > 1:
        dist.init_process_group("gloo")
        sharded = ShardedHead(head, torch.device("cpu"))
        sharded.replicate(backbone)
    optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=0.1, momentum=0.9)
    seconds = []
    for _ in range(1 + STEPS):
        start = time.perf_counter()
        inputs, labels = torch.randn(N // processes, 100), torch.randint(C, (N // processes,))
        optimizer.zero_grad()
        # The logits are kept for measures and callbacks, as in the classifier's step.
        if sharded:
            loss, logits = sharded.evaluated(sharded.backbone(inputs), labels)
            sharded.backward(loss)
        else:
            loss, logits = evaluated(head, backbone(inputs), labels)
            loss.backward()
        assert logits.shape == (len(labels), C)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return {"bytes": peak_bytes(), "seconds": median(seconds[1:])}


def peak_bytes() -> int:
    """The most memory of its own that this process has had: without pages of files, which the processes share."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return resident - getattr(psutil.Process().memory_info(), "shared", 0)


if __name__ == "__main__":
    print(json.dumps(train()))
