"""Whether the threads of this process wait for a core instead of sharing the work."""

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

SIZE, PIECE = 2**17, 2**14  # elements; torch divides an operation among threads from 2**15 on
SECONDS = 0.01  # for each of the two measurements
SLOWER = 4  # times; a machine of which nothing else uses the cores gives about 1


def threads_that_wait(device: torch.device) -> Iterator[str]:
    """Say that fewer threads may be faster, where training is on a CPU whose cores other processes use.

    The threads of an operation wait for each other at its end. If another process takes the core of one of them, all
    have to wait for it. Nothing is changed here, since the number of threads decides how sums are rounded.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu" and threads > 1 and (slower := time_of_threads()) >= SLOWER:
        yield (
            f"other processes use the cores of this machine: a small operation takes {slower:.0f} times as long on "
            f"{threads} threads as on one. Fewer threads may train faster: put OMP_NUM_THREADS=1 before the command; "
            "this rounds sums differently"
        )


def time_of_threads() -> float:
    """Measure how many times as long an addition takes on all threads as the same work takes on one, as pieces that
    torch does not divide."""
    numbers = torch.ones(SIZE)
    pieces = numbers.split(PIECE)

    def on_one() -> list[Tensor]:
        return [torch.add(piece, 1, out=piece) for piece in pieces]

    torch.add(numbers, 1, out=numbers)  # the first one starts the threads
    return mean_time(lambda: torch.add(numbers, 1, out=numbers)) / mean_time(on_one)


def mean_time(work: Callable[[], object]) -> float:
    """Return the seconds that a piece of work takes, the mean of those that fit into SECONDS, at least of one."""
    start, times, passed = time.perf_counter(), 0, 0.0
    while passed < SECONDS:
        work()
        times += 1
        passed = time.perf_counter() - start
    return passed / times
