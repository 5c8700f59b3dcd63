"""Numbers and verdicts as words; nothing here says more than an interval does."""

from sbn_lightning.report.findings import Finding
from sbn_lightning.report.statistics import LEVEL, POWER, Difference, McNemar, Sample

NONE = "–"


def signed(value: float) -> str:
    """E.g. +0.90 or −0.90."""
    return f"{value:+.2f}".replace("-", "−")


def number(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def mean_and_std(sample: Sample | None) -> str:
    """E.g. 71.00 ± 1.00 (3)."""
    if sample is None:
        return NONE
    return f"{sample.mean:.2f}" + (f" ± {sample.std:.2f}" if sample.std is not None else "") + f" ({sample.n})"


def interval(difference: Difference, level: float = LEVEL) -> str:
    """E.g. +0.10 to +1.70, or why there is no interval."""
    ends = difference.interval(level)
    return f"{signed(ends[0])} to {signed(ends[1])}" if ends else difference.missing


def with_interval(difference: Difference | None, missing: str = NONE) -> str:
    """E.g. +0.90 (+0.10 to +1.70)."""
    return f"{signed(difference.value)} ({interval(difference)})" if difference else missing


def detectable(difference: Difference | None) -> str:
    """E.g. 1.20; 5 runs for 1.00."""
    if difference is None or difference.detectable is None:
        return NONE
    return f"{difference.detectable:.2f}; {difference.runs_for_one_point} runs for 1.00"


def runs(finding: Finding) -> str:
    """E.g. 2/3 (of 5): the finished of the started runs, and the planned ones where some have not started."""
    finished, planned = len(finding.row.finished), len(finding.row.runs)
    waiting = f" (of {planned})" if planned > finding.started else ""
    return f"{finished}/{finding.started}{waiting}"


def memory(size: float | None) -> str:
    if size is None:
        return NONE
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def sentence(finding: Finding) -> str:
    """What the runs show of a head compared with softmax."""
    label, difference = finding.row.label, finding.from_softmax
    if difference is None:
        return f"{label}: not compared with softmax, {finding.not_compared}."
    reference = finding.group.reference_of(finding.row)
    ours, theirs = len(finding.row.finished), len(reference.finished) if reference else 0
    counts = f"{ours} run{'s' if ours > 1 else ''}" + ("" if ours == theirs else f" against {theirs}")
    start = f"{label}: {signed(difference.value)} points against softmax"
    ends = difference.interval()
    if ends is None:
        return f"{start}, {counts}; no interval: {difference.missing}."
    has_zero = ends[0] <= 0 <= ends[1]
    verdict = "The interval contains 0: these runs do not show a difference. " if has_zero else ""
    return (
        f"{start}, {LEVEL:.0%} interval {interval(difference)} ({difference.method}), {counts}. {verdict}"
        f"With this spread they could have shown {difference.detectable:.2f} points ({POWER:.0%} power). Finding a "
        f"difference of 1 point takes {difference.runs_for_one_point} runs of each, at {POWER:.0%} power and if this "
        "spread holds."
    ).replace("%", " %")


def mcnemar_sentence(first: str, second: str, result: McNemar) -> str:
    """The result of McNemar's test in one sentence, with its limits."""
    images = result.both + result.only_first + result.only_second + result.neither
    return (
        f"Two trained networks, {first} and {second}, on these {images:,} images: the first alone has "
        f"{result.only_first:,} right, the second alone {result.only_second:,}, both {result.both:,}, neither "
        f"{result.neither:,}; McNemar's exact test p {p_value(result.p_value)}. This compares these two networks, not "
        "the two heads: another seed gives other networks."
    )


def p_value(p: float) -> str:
    return f"= {p:.2g}" if p >= 0.0001 else "< 0.0001"
