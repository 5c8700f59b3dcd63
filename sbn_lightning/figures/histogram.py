"""How often a value occurs, by bins."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbn_lightning.figures.style import Floats

COVERED = 0.999
"""Share of each distribution that Figure 2's axis holds."""


@dataclass(frozen=True)
class Histogram:
    """How many values fell into each bin: edges[i] <= value < edges[i + 1]; the first and the last bin also count what
    lies beyond them."""

    edges: Floats  # (bins + 1,), ascending
    counts: NDArray[np.int64]  # (bins,)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def below(self) -> NDArray[np.int64]:
        """(bins + 1,), number of values below each edge."""
        return np.append(0, np.cumsum(self.counts))

    @property
    def density(self) -> Floats:
        """(bins,), share of the values per unit of the value: the area is 1, whatever the bins' widths."""
        return self.counts / (max(1, self.size) * np.diff(self.edges))

    @property
    def std(self) -> float:
        """Standard deviation of the values, each taken to be in the middle of its bin."""
        middles = (self.edges[:-1] + self.edges[1:]) / 2
        mean = np.average(middles, weights=self.counts)
        return float(np.sqrt(np.average((middles - mean) ** 2, weights=self.counts)))

    def quantile(self, q: float) -> float:
        """Value below which a share q of the values lies: linear within a bin, so right to one bin's width."""
        return float(np.interp(q * self.size, self.below, self.edges))

    def share_within(self, lower: float, upper: float) -> float:
        """Share of the values between two others: linear within a bin. What lies beyond the bins counts as beyond."""
        inner = self.below.astype(float)
        inner[[0, -1]] = inner[[1, -2]]
        below_lower, below_upper = np.interp([lower, upper], self.edges, inner)
        return float(below_upper - below_lower) / max(1, self.size)

    @property
    def covering(self) -> tuple[float, float]:
        """The bins' edges between which at least `COVERED` of the values lie, with equal parts of the rest beyond."""
        rest = (1 - COVERED) / 2 * self.size
        first = np.searchsorted(self.below, rest, side="right") - 1
        last = np.searchsorted(self.below, self.size - rest)
        return float(self.edges[max(int(first), 0)]), float(self.edges[min(int(last), len(self.edges) - 1)])

    @property
    def is_cut(self) -> bool:
        """Whether an axis that ends with the bins may hold less than `COVERED`: more than the rest may lie beyond."""
        return bool(max(self.counts[0], self.counts[-1]) > (1 - COVERED) / 2 * self.size)

    def merged(self, factor: int) -> "Histogram":
        """With `factor` neighboring bins in each; the last bin also takes those that are left over."""
        starts = np.arange(0, max(1, len(self.counts) - factor + 1), factor)
        return Histogram(np.append(self.edges[starts], self.edges[-1]), np.add.reduceat(self.counts, starts))
