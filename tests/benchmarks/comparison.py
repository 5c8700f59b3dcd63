"""Two ways to do one thing, timed in turns, so that what else the machine does slows both alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """A line of the printed table; empty where there is nothing to say."""

    what: str
    ours: str
    theirs: str
    ratio: str
    wanted: str


@dataclass(frozen=True)
class Comparison:
    """Seconds that the same work took us and them.

    Args:
        ours: One entry for each repetition.
        theirs: Likewise, measured beside ours.
    """

    ours: Sequence[float]
    theirs: Sequence[float]

    def speed_row(self, what: str, wanted: str = "") -> Row:
        """How many times as fast as theirs ours is."""
        return self._row(what, rate, [theirs / ours for ours, theirs in self._pairs()], "as fast", wanted)

    def time_row(self, what: str, wanted: str = "") -> Row:
        """How many times theirs' time ours takes."""
        return self._row(what, duration, [ours / theirs for ours, theirs in self._pairs()], "the time", wanted)

    def _pairs(self) -> list[tuple[float, float]]:
        return list(zip(self.ours, self.theirs, strict=True))

    def _row(self, what: str, shown: Callable[[float], str], ratios: Sequence[float], meaning: str, wanted: str) -> Row:
        ours, theirs = shown(statistics.median(self.ours)), shown(statistics.median(self.theirs))
        lower, _, upper = statistics.quantiles(ratios, n=4, method="inclusive")
        ratio = f"{statistics.median(ratios):.3g}× {meaning} ({lower:.3g} to {upper:.3g})"
        return Row(what, ours, theirs, ratio, wanted)


def compare(ours: Callable[[], float], theirs: Callable[[], float], repetitions: int) -> Comparison:
    """Take turns, ours first in every other repetition; both return the seconds that their work took."""
    results: dict[Callable[[], float], list[float]] = {ours: [], theirs: []}
    for repetition in range(repetitions):
        for measure in (ours, theirs) if repetition % 2 else (theirs, ours):
            results[measure].append(measure())
    return Comparison(results[ours], results[theirs])


def timed(work: Callable[[], object], pieces: int) -> Callable[[], float]:
    """How to measure work that does a number of equal pieces in one call: seconds for each piece."""

    def measure() -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) / pieces

    return measure


def duration(seconds: float) -> str:
    """1.23 s or 4.56 ms."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def rate(seconds: float) -> str:
    """1,234 per second."""
    return f"{1 / seconds:,.0f}/s"
