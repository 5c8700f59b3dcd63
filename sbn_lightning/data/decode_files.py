"""All image files of a dataset become the rows of one array, decoded by all cores."""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sbn_lightning.data.decode import Fit, decode
from sbn_lightning.data.sources import BadImage, Source, ZipSource
from sbn_lightning.errors import UsageError, counted
from sbn_lightning.terminal import show

OnBadImage = Literal["error", "skip"]

SMALLEST, LARGEST = 64, 256  # images that a process decodes at a time


class Work(NamedTuple):
    """What a process decodes, and how; see decode for `fit` and `bits`. `file` is the array, written by numpy.save."""

    source: Source
    file: Path
    fit: Fit
    bits: int = 16


class Outcome(NamedTuple):
    """What became of a file: the problem with it, or an empty text; and Decoded's `highest` and `is_colour`."""

    problem: str = ""
    highest: int = 0
    is_colour: bool = False


def decode_files(
    source: Source, names: Sequence[str], file: Path, fit: Fit, on_bad_image: OnBadImage
) -> tuple[list[str], int | None]:
    """Decode image files by all cores into the rows of an array that numpy.save wrote, (N, 3, H, W) uint8.

    Cameras and scanners store 10, 12 or 14 bits in the lower bits of 16. So all 16-bit gray images have as many bits as
    the highest level among all of them needs, and these are said; if they are fewer than 16, those images are decoded
    once more.

    Returns what is wrong with each file, an empty text if it could be used; and how many bits the 16-bit gray images
    have, None if there are none. A UsageError says which file cannot be used
    if on_bad_image is `error`, that 16-bit images in colour use only their lower bits, or that a process was killed.
    """
    outcomes = _decode_all(Work(source, file, fit), range(len(names)), names, on_bad_image)
    deep = [row for row, outcome in enumerate(outcomes) if outcome.highest]
    bits = None
    if deep:
        bits = _bits([outcomes[row].highest for row in deep])
        images = counted(len(deep), "16-bit image")
        show(("Levels", f"{images} taken as {bits} bits, by the highest level among all of them"))
        if colour := [names[row] for row in deep if outcomes[row].is_colour and bits < 16]:
            raise UsageError(
                f"{source.path}/{colour[0]} stores {bits} bits in 16-bit colours (as do {len(colour) - 1:,} others), "
                "of which only the upper 8 bits can be read; convert them to 8 bits"
            )
        if bits < 16:
            _decode_all(Work(source, file, fit, bits), deep, [names[row] for row in deep], on_bad_image)
    return [outcome.problem for outcome in outcomes], bits


def _bits(highest: Sequence[int]) -> int:
    """How many bits levels have of which these are the highest: 8, 10, 12, 14 or 16."""
    return next(bits for bits in (8, 10, 12, 14, 16) if max(highest) < 2**bits)


def _decode_all(work: Work, rows: Sequence[int], names: Sequence[str], on_bad_image: OnBadImage) -> list[Outcome]:
    """What became of each file; each is decoded into its row."""
    columns = TextColumn("packing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    hidden = not (sys.stdout and sys.stdout.isatty())
    outcomes: list[Outcome] = []
    with (
        # The bar is drawn by hand, since a process with a thread that prints must not be forked.
        Progress(*columns, transient=True, auto_refresh=False, disable=hidden) as progress,
        closing(_by_all_cores(work, rows, names)) as pieces,
    ):
        task = progress.add_task("", total=len(names))
        for piece in pieces:
            outcomes += piece
            if on_bad_image == "error" and any(outcome.problem for outcome in piece):
                name, problem = next((n, o.problem) for n, o in zip(names, outcomes, strict=False) if o.problem)
                raise UsageError(
                    f"{work.source.path}/{name} {problem}; replace or remove it, or leave out such images with "
                    "--data.on_bad_image skip"
                )
            progress.update(task, completed=len(outcomes), refresh=True)
    return outcomes


def _decode_rows(work: Work, rows: Sequence[int], names: Sequence[str]) -> list[Outcome]:
    """Decode files into their rows, and return what became of each."""
    images = np.lib.format.open_memmap(work.file, mode="r+")
    outcomes = []
    for row, name in zip(rows, names, strict=True):
        try:
            decoded = decode(work.source.read(name), images.shape[2:], work.fit, work.bits)
        except BadImage as problem:
            outcomes.append(Outcome(str(problem)))
        else:
            images[row] = decoded.pixels
            outcomes.append(Outcome("", decoded.highest, decoded.is_colour))
    return outcomes


def _by_all_cores(work: Work, rows: Sequence[int], names: Sequence[str]) -> Generator[list[Outcome], None, None]:
    """What _decode_rows returns for one piece of the names after another, decoded by a process for each core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    size = min(max(SMALLEST, len(names) // (8 * cores)), LARGEST)
    firsts = range(0, len(names), size)
    pieces = [rows[first : first + size] for first in firsts], [names[first : first + size] for first in firsts]
    if len(firsts) == 1 or cores == 1:
        yield from map(partial(_decode_rows, work), *pieces)
        return
    # On Linux fork, since a new interpreter would take longer to start than many a dataset to be decoded.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(min(cores, len(firsts)), context, _start, (work,))
    try:
        with warnings.catch_warnings():
            # The processes take no lock that another thread may hold: they read files, decode them and write pixels.
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
            results = pool.map(_decode_piece, *pieces)
        yield from results
    except BrokenProcessPool as error:
        raise UsageError(
            "a process that decodes images was killed, perhaps because the memory was full; close other programs and "
            "start again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_work: Work  # of a process of the pool


def _start(work: Work) -> None:
    """Prepare a process of the pool. It ends at once, and silently, at Ctrl-C or when its parent has ended."""
    global _work
    _work = work
    if isinstance(work.source, ZipSource):  # processes that share an open file move each other's position in it
        work.source.archive.fp = open(work.source.path, "rb")  # noqa: SIM115  (closed with the archive)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _decode_piece(rows: Sequence[int], names: Sequence[str]) -> list[Outcome]:
    return _decode_rows(_work, rows, names)
