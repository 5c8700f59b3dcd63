"""Intervals that hold for several comparisons together."""

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import gammaincinv, ndtr

NODES = 96
STEPS = 40
"""Bisections of the critical value, from a range of 100 standard errors."""


@functools.cache
def dunnett_critical(runs: tuple[int, ...], runs_of_control: int, df: float, level: float) -> float:
    """Return how many standard errors the intervals reach to both sides that hold together with a probability.

    Args:
        runs: Of each head that is compared with the control.
        df: Degrees of freedom of the spread that all of them share.
        level: The probability.
    """
    low, high = 0.0, 100.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle, runs, runs_of_control, df) >= level else (middle, high)
    return high


def chance(critical: float, runs: Sequence[int], runs_of_control: int, df: float) -> float:
    """Return the probability that every head's mean differs from the control's by less than `critical` standard errors,
    where there is no true difference, and all have one spread that is estimated with df degrees of freedom.

    Differences from one control are correlated: with λᵢ² = nᵢ / (nᵢ + n₀), they are λᵢ·Z₀ + √(1 − λᵢ²)·Zᵢ of standard
    normal Z, and given Z₀ and the estimated spread S they are independent. So the probability is the mean over S and Z₀
    of

        Πᵢ Φ((λᵢ·Z₀ + c·S) / √(1 − λᵢ²)) − Φ((λᵢ·Z₀ − c·S) / √(1 − λᵢ²)),

    where S² is χ² / df. Source: Dunnett 1955.
    """
    normal, weights = np.polynomial.hermite_e.hermegauss(NODES)
    nodes, share_weights = np.polynomial.legendre.leggauss(NODES)
    spread = np.sqrt(2 * gammaincinv(df / 2, (nodes + 1) / 2) / df)[:, None]
    inside = np.ones((NODES, NODES))
    for n in runs:
        own, shared = math.sqrt(runs_of_control / (n + runs_of_control)), math.sqrt(n / (n + runs_of_control))
        ends = [ndtr((shared * normal + sign * critical * spread) / own) for sign in (1, -1)]
        inside *= ends[0] - ends[1]
    return float(share_weights / 2 @ inside @ weights / math.sqrt(2 * math.pi))
