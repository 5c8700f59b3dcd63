"""Student's t distribution, in plain Python: `sbn report` answers before scipy would be imported."""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

LEVEL = 0.95
"""Of the intervals in a report."""
POWER = 0.8
"""Chance that a difference as large as the detectable one is found by an interval of this level."""

NORMAL = NormalDist()
STEPS = 600  # of Simpson's rule; twice as many change no result in its sixth digit
BISECTIONS = 60
TERMS = 400


def t_cdf(t: float, df: float) -> float:
    """P(T <= t) with df degrees of freedom, df > 0, not necessarily whole."""
    tail = 0.5 * incomplete_beta(df / (df + t * t), df / 2, 0.5)
    return 1 - tail if t > 0 else tail


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """The t with P(T <= t) = probability, for a probability in (0, 1)."""
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    upper = 1.0
    while t_cdf(upper, df) < probability:
        upper *= 2
    return bisect(lambda t: t_cdf(t, df) - probability, 0.0, upper)


@lru_cache(maxsize=4096)
def detectable_effect(df: float) -> float:
    """The difference, in standard errors, that a two-sided t test with df degrees of freedom finds with `POWER`.

    A difference of d standard errors makes the test statistic noncentral t: (Z + d) / √(V / df) with Z standard normal
    and V chi-square. Given V, the chance that it lies beyond ±c is Φ(d − c·√(V/df)) + Φ(−d − c·√(V/df)), which is
    integrated over V's density.
    """
    critical = t_quantile(0.5 + LEVEL / 2, df)
    return bisect(lambda effect: power(effect, critical, df) - POWER, 0.0, critical + 6 * math.sqrt(1 + critical**2))


def power(effect: float, critical: float, df: float) -> float:
    """Chance that |T| > critical for noncentral T."""
    first, last = max(0.0, 1 - 9 / math.sqrt(2 * df)), 1 + 9 / math.sqrt(2 * df)
    width = (last - first) / STEPS
    constant = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)
    total = 0.0
    for step in range(STEPS + 1):
        s = max(first + step * width, 1e-300)  # √(V/df)
        density = math.exp(constant + (df - 1) * math.log(s) - df * s * s / 2)
        weight = 1 if step in (0, STEPS) else 4 if step % 2 else 2
        total += weight * density * (NORMAL.cdf(effect - critical * s) + NORMAL.cdf(-effect - critical * s))
    return total * width / 3


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b), for x in [0, 1] and a, b > 0.

    Continued fraction by Lentz's method: Abramowitz and Stegun, 26.5.8.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # converges faster from the other side
        return 1 - incomplete_beta(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    fraction = d
    for m in range(1, TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for numerator in (even, odd):
            d = 1 / (1 + numerator * d or tiny)
            c = 1 + numerator / c or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return math.exp(log_front) * fraction / a


def bisect(function: Callable[[float], float], lower: float, upper: float) -> float:
    """The zero of a function that increases from lower to upper."""
    for _ in range(BISECTIONS):
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if function(middle) < 0 else (lower, middle)
    return (lower + upper) / 2
