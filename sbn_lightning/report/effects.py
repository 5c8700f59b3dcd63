"""What a head does to logits, class weights and gradients, beside another one: in numbers, from what the runs left."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sbn_lightning.errors import UsageError
from sbn_lightning.report.recorded import NORM, SHARE, gradients_of, logits_of, norms_of
from sbn_lightning.report.rows import Row
from sbn_lightning.report.runs import Run

SAME = 1.25
"""Two numbers whose ratio is below this are about the same: a picture hardly shows the difference."""
END = 0.25
"""The share of the logged steps, the last ones, that counts as the end of a training."""
FEW_CLASSES = 50
"""With fewer classes, a normalized head needs a scale that is much larger than 1."""


@dataclass(frozen=True)
class Effect:
    """One number of two rows, and what it says."""

    figure: str  # the name of the figure that shows it
    ratio: float  # the second row's number by the first one's
    text: str

    @property
    def is_visible(self) -> bool:
        return self.size >= math.log(SAME)

    @property
    def size(self) -> float:
        """The same for twice and for half as much."""
        return abs(math.log(self.ratio)) if 0 < self.ratio < math.inf else math.inf


def effects(first: Row, second: Row) -> list[Effect]:
    """What differs most comes first; what the runs have no record of is left out, as their figures are."""
    found = []
    for measure in (effect_on_weights, effect_on_gradients, effect_on_logits):
        try:
            found.append(measure(first, second))
        except UsageError:
            continue
    return sorted(found, key=lambda effect: -effect.size)


def effect_on_weights(first: Row, second: Row) -> Effect:
    trained = [mean_over(row, lambda run: float(norms_of(run)[0].mean())) for row in (first, second)]
    used = [mean_over(row, lambda run: float(norms_of(run)[1].mean())) for row in (first, second)]
    ratio = ratio_of(used)
    text = (
        f"As inference uses them, those of {second.label} are {times(ratio)} {first.label}: their mean norm ‖w′‖ is "
        f"{against(used)}. As trained, ‖w‖ is {against(trained)}."
    )
    return Effect("weights", ratio, text)


def effect_on_gradients(first: Row, second: Row) -> Effect:
    norm, share = (
        [mean_over(row, lambda run, tag=tag: at_the_end(run, tag)) for row in (first, second)]  # type: ignore[misc]
        for tag in (NORM, SHARE)
    )
    ratio = ratio_of(norm)
    text = (
        f"At the end of the training with {second.label}, ‖p − y‖, the gradient at the logits of inference, is "
        f"{times(ratio)} {first.label}: {norm[1]:.2g} on average against {norm[0]:.2g}. {100 * share[1]:.0f} % of the "
        f"samples have more than 0.99 for their own class, against {100 * share[0]:.0f} %."
    )
    return Effect("gradients", ratio, text)


def effect_on_logits(first: Row, second: Row) -> Effect:
    widths = [mean_over(row, lambda run: logits_of(run)[0].std) for row in (first, second)]
    effect = Effect("logits", ratio_of(widths), "")
    if effect.is_visible:
        start = f"Those of {second.label} are {times(effect.ratio, 'wide')} {first.label}"
    else:
        start = f"Those of {second.label} and {first.label} are about as wide"
    text = f"{start}: their standard deviation on the test set is {against(widths)}."
    return replace(effect, text=text if effect.is_visible else text + why_alike((first, second), widths))


def why_alike(rows: Sequence[Row], widths: Sequence[float]) -> str:
    """Why the logits of two rows are about as wide, where one is SBN, whose scale decides that; else an empty text."""
    for number, row in enumerate(rows):
        scale, classes, other = row.head.settings.get("scale"), row.runs[0].data.classes, rows[1 - number]
        is_scaled = isinstance(scale, (int, float)) and math.isclose(widths[number], scale, rel_tol=0.2)
        if row.is_proposed and is_scaled and classes < FEW_CLASSES:
            return (
                f" The reason: {row.label} makes them as wide as its scale, {scale:g}, which {classes} classes need, "
                f"and with {other.label} they become about as wide by themselves. With many classes, a small scale is "
                "enough: the figures of CIFAR-100 in the README show narrow logits."
            )
    return ""


def mean_over(row: Row, measure: Callable[[Run], float]) -> float:
    return statistics.mean(measure(run) for run in row.finished)


def at_the_end(run: Run, tag: str) -> float:
    """The mean of what was logged in the last part of a training."""
    values = [row[tag] for _, row in sorted(gradients_of(run).items()) if row.get(tag) is not None]
    if not values:
        raise UsageError("no gradients were logged")
    return statistics.mean(values[-math.ceil(END * len(values)) :])


def ratio_of(values: Sequence[float]) -> float:
    """The second value by the first one, which may be 0."""
    if values[0] == values[1]:
        return 1.0
    return values[1] / values[0] if values[0] else math.inf


def times(ratio: float, large: str = "large") -> str:
    """E.g. 1.6 times as large as with."""
    return f"{f'{ratio:.2g} times' if f'{ratio:.2g}' != '1' else 'about'} as {large} as with"


def against(values: Sequence[float]) -> str:
    """The second value against the first one, e.g. 2.00 against 1.21."""
    return " against ".join(f"{value:#.3g}".rstrip(".") for value in reversed(values))
