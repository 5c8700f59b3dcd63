"""What `sbn report --compare` says of two rows: what differs first, then what does not."""

from collections.abc import Sequence
from pathlib import Path

from sbn_lightning.report.cells import (
    NONE,
    OTHER_IMAGES,
    OVER_SEEDS,
    detectable,
    interval_of,
    shown,
    table_of,
    time_taken,
)
from sbn_lightning.report.comparisons import compare
from sbn_lightning.report.drawings import pictures_of
from sbn_lightning.report.effects import effects
from sbn_lightning.report.forest import forest_of_heads
from sbn_lightning.report.networks import compare_networks
from sbn_lightning.report.provenance import origin
from sbn_lightning.report.render import Block, Bullets, Table, Text
from sbn_lightning.report.rows import Row
from sbn_lightning.report.tables import HELD_OUT, how_trained
from sbn_lightning.report.verdicts import SCOPE, Verdict, in_words, reservations, verdict_of, what_is_found

NAMES = {"weights": "Class weights", "gradients": "Gradient at the logits", "logits": "Logits"}


def side_by_side(rows: Sequence[Row], figures: Path, command: str) -> list[Block]:
    """Everything about two rows; writes the figures, too.

    Args:
        command: What made the page.
    """
    first, second = rows
    places = [f"{row.runs[0].data.name}, {row.runs[0].backbone.title}" for row in rows]
    name, place = f"{second.label} and {first.label}", places[0] if places[0] == places[1] else ""
    title = f"{second.label} compared with {first.label}{': ' if place else ''}{place}"
    second.comparison = found = compare(second, first)
    pictures = pictures_of(rows, place or name, "compare", figures)
    seen = effects(first, second)
    visible = [effect for effect in seen if effect.is_visible]
    differs = [(f"{NAMES[effect.figure]}:", effect.text) for effect in visible]
    alike = [(f"{NAMES[effect.figure]}:", effect.text) for effect in seen if not effect.is_visible]
    is_decided = verdict_of(found.accuracy) in (Verdict.BETTER, Verdict.WORSE)
    accuracy = (f"Test accuracy of {second.label}:", f"{in_words(found)}{reservations(found)}.")
    (differs if is_decided else alike).append(accuracy)
    blocks: list[Block] = [Text("title", title)]
    blocks += [Text("warning", f"{what}: the difference is not the heads' alone.") for what in other_than_head(rows)]
    if differs:
        blocks += [Text("section", "What differs"), Bullets(differs)]
    blocks += [pictures.pop(effect.figure) for effect in visible]
    if alike:
        blocks += [Text("section", "What differs little, or cannot be told"), Bullets(alike)]
    if min(len(row.finished) for row in rows) > 1:
        blocks.append(forest_of_heads([rows], place or name, "compare", figures))
    else:
        blocks.append(compare_networks(rows))
    made_of = origin([run for row in rows for run in row.finished], command)
    return [*blocks, accuracies(rows, places), *pictures.values(), *made_of]


def other_than_head(rows: Sequence[Row]) -> list[str]:
    """In what two rows differ besides the head."""
    first, second = (row.runs[0] for row in rows)
    differing = {
        "They differ in data or backbone": first.images_and_backbone != second.images_and_backbone,
        "They were trained differently": first.protocol != second.protocol,
    }
    return [what for what, so in differing.items() if so]


def accuracies(rows: Sequence[Row], places: Sequence[str]) -> Table:
    """The accuracies of two rows, and how they were trained."""
    found = rows[1].comparison
    columns = {
        "Head": [row.label for row in rows],
        "Accuracy": [shown(row.accuracy) for row in rows],
        f"Difference ({OVER_SEEDS})": [NONE, str(found.accuracy)] if found else [],
        OTHER_IMAGES: [NONE, interval_of(found.images)] if found else [],
        "Detectable": [NONE, detectable(found)],
        **{heading: [shown(row.sample_of(column)) for row in rows] for heading, column in HELD_OUT.items()},
        "Training time": [time_taken(row.seconds) for row in rows],
        "Data and backbone": list(places) if places[0] != places[1] else [],
    }
    caption = "Test accuracy of the last epoch, in percent, mean ± standard deviation (number of runs)"
    power = found and found.accuracy.power
    notes = [f"Detectable: {what_is_found(power)}"] if power else []
    notes += [SCOPE] if found and found.accuracy.interval() else []
    return table_of(caption, columns, [*notes, *how_trained(rows)], "accuracy")
