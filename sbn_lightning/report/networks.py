"""Two trained networks beside each other, where single runs allow no interval."""

from collections.abc import Sequence

from sbn_lightning.report.arrays import correct_of
from sbn_lightning.report.drawings import run_of_each
from sbn_lightning.report.render import Block, Text
from sbn_lightning.report.rows import Row
from sbn_lightning.report.statistics import mcnemar
from sbn_lightning.run.records import BrokenRecordError


def compare_networks(rows: Sequence[Row]) -> Block:
    """The result of McNemar's test of two rows' runs in one sentence, with its limits."""
    runs = run_of_each(rows)
    first, second = runs.values()
    names = [f"{label} ({run.name})" for label, run in runs.items()]
    try:
        (ours,), (theirs,) = correct_of([first], [second])
    except BrokenRecordError as error:
        return Text("warning", f"McNemar's test of {' and '.join(names)} is left out: {error}.")
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    p = mcnemar(only_ours, only_theirs)
    sentence = (
        f"Two trained networks, {' and '.join(names)}, on these {len(ours):,} images: the first alone has "
        f"{only_ours:,} right, the second alone {only_theirs:,}, both {(ours & theirs).sum():,}, neither "
        f"{(~ours & ~theirs).sum():,}; McNemar's exact test p {f'= {p:.2g}' if p >= 0.0001 else '< 0.0001'}. This "
        "compares these two networks, not the two heads: another seed gives other networks."
    )
    return Text("paragraph", sentence)
