"""A training step on as many threads as there are cores against one on one thread, while other processes use the cores.

    python -m tests.benchmarks.busy_machine WIDTH BATCH

is the process that measures: how its threads wait for each other is decided where it starts.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sbn_lightning.cli.commands import let_threads_sleep
from tests.benchmarks.comparison import Comparison, Row, compare

Net = tuple[str, str]
Environment = dict[str, str]

REPETITIONS = 5
SECONDS = 3.0  # of steps in each process
NETS = {"a tiny net (SmallCNN of width 4, batch 8)": ("4", "8"), "SmallCNN, batch 128": ("32", "128")}


def rows() -> Iterator[Row]:
    """Two nets, each as the machine is and while one more process for each core is busy; and sbn's way of waiting for
    threads against OpenMP's, to show what it costs."""
    cores = os.cpu_count() or 1
    for name, net in NETS.items():
        for busy in (0, cores):
            beside = f"{name}, beside {busy} busy processes"
            with busy_processes(busy):
                threads = compare_steps(net, {}, {"OMP_NUM_THREADS": "1"})
                wanted = "at most 1.5×, or a hint" if busy else ""
                yield threads.time_row(f"step on {cores} threads against 1, {beside}", wanted)
                waiting = compare_steps(net, {}, {"GOMP_SPINCOUNT": "300000"})
                wanted = "" if busy else "at most 1.02×"
                yield waiting.time_row(f"step on {cores} threads against OpenMP's own way to wait, {beside}", wanted)


def compare_steps(net: Net, ours: Environment, theirs: Environment) -> Comparison:
    """Compare the seconds of a step under two environments."""
    return compare(lambda: seconds_of_a_step(net, ours), lambda: seconds_of_a_step(net, theirs), REPETITIONS)


def seconds_of_a_step(net: Net, environment: Environment) -> float:
    """Measure in a process of its own, on all cores unless the environment says otherwise."""
    others = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")}
    command = [sys.executable, "-m", "tests.benchmarks.busy_machine", *net]
    return float(subprocess.run(command, env=others | environment, stdout=subprocess.PIPE, check=True).stdout)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep this number of cores busy."""
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


def measure(width: int, batch: int) -> float:
    """Train a net on random images, and return the mean seconds of a step."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    from sbn_lightning import SmallCNN

    net = nn.Sequential(SmallCNN(width), nn.Linear(4 * width, 100))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    images, labels = torch.randn(batch, 3, 16, 16), torch.randint(100, (batch,))
    steps, start = -3, time.perf_counter()  # the first three are not counted
    while steps < 1 or time.perf_counter() - start < SECONDS:
        if steps == 0:
            start = time.perf_counter()
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    return (time.perf_counter() - start) / steps


if __name__ == "__main__":
    let_threads_sleep()
    print(measure(*map(int, sys.argv[1:])))
