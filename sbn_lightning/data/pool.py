"""The pieces of a long work, done by one process for each core; few pieces are in memory at a time."""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from sbn_lightning.errors import UsageError

Piece = TypeVar("Piece")
Result = TypeVar("Result")

AHEAD = 3
"""Pieces in flight for each process: one that it does, and others that wait, or whose results wait to be used."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def by_all_cores(
    do: Callable[[Piece], Result],
    pieces: Iterable[Piece],
    count: int,
    start: Callable[[], None] | None = None,
) -> Generator[Result, None, None]:
    """Yield do(piece) of each piece, in the order of the pieces, while processes do those that come next.

    The processes start at the first piece, and end with the generator, or with this process, whatever ends it. A piece
    is taken only when there are fewer than `AHEAD` for each process in flight. One process alone is not started.

    Args:
        do: What a process does; it can be pickled, as can pieces and results.
        pieces: May be a generator of any length.
        count: How many pieces there are, about; no more processes are started.
        start: What each process does before its first piece.

    Raises:
        UsageError: If a process was killed.
    """
    processes = min(cores(), count)
    if processes < 2:
        yield from map(do, pieces)
        return
    # On Linux fork, since a new interpreter would take longer to start than many a dataset to be decoded.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(processes, context, _start, (do, start))
    in_flight: deque[Future[Result]] = deque()
    try:
        for piece in pieces:
            with warnings.catch_warnings():
                # The processes take no lock that another thread may hold: they read files and decode them.
                warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
                in_flight.append(pool.submit(_do_piece, piece))
            if len(in_flight) == AHEAD * processes:
                yield in_flight.popleft().result()
        while in_flight:
            yield in_flight.popleft().result()
    except BrokenProcessPool as error:
        raise UsageError(
            "a process that decodes images was killed, perhaps because the memory was full; close other programs and "
            "start again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_do: Callable[[Any], Any]  # of a process of the pool


def _start(do: Callable[[Any], Any], start: Callable[[], None] | None) -> None:
    """Prepare a process of the pool. It ends at once, and silently, at Ctrl-C or when its parent has ended."""
    global _do
    _do = do
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start:
        start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do_piece(piece: Any) -> Any:
    return _do(piece)
