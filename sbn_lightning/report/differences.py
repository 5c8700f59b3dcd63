"""All comparisons of a report beside each other, and what holds for all of them together."""

from collections.abc import Iterable, Sequence

from sbn_lightning.report.cells import MARK, NONE, OTHER_IMAGES, OVER_SEEDS, detectable, interval_of, shown, table_of
from sbn_lightning.report.groups import Group
from sbn_lightning.report.power import LEVEL
from sbn_lightning.report.render import Block, Table, Text
from sbn_lightning.report.rows import Comparison, Row
from sbn_lightning.report.statistics import SHARED, Difference, ends_text
from sbn_lightning.report.verdicts import SCOPE, verdict_of


def declared_rows(groups: Sequence[Group]) -> Table:
    """The paper's claim in one line for each table."""
    compared = [(group.title, row, row.comparison) for group in groups if (row := group.proposed) and row.comparison]
    columns = {
        "Data and backbone": [name_of(title, row) for title, row, _ in compared],
        "SBN": [shown(row.accuracy) for _, row, _ in compared],
        "Softmax": [shown(found.softmax.accuracy) for _, _, found in compared],
        f"SBN − softmax ({OVER_SEEDS})": [str(found.accuracy) for _, _, found in compared],
        "Verdict": [verdict_of(found.accuracy).value for _, _, found in compared],
        OTHER_IMAGES: [interval_of(found.images) for _, _, found in compared],
        f"Paper: SBN − softmax ({OVER_SEEDS})": [shown(found.paper) for _, _, found in compared],
        "Detectable": [detectable(found) for _, _, found in compared],
    }
    caption = "The declared SBN row against softmax: test accuracy of the last epoch, in percent"
    return table_of(caption, columns, [*marks(found for _, _, found in compared), SCOPE], "declared")


def name_of(title: str, row: Row) -> str:
    """A row's name among those of all tables; without a title where there is one table."""
    return f"{title}{': ' if title else ''}{row.label}{MARK if row.comparison and row.comparison.unlike else ''}"


def marks(compared: Iterable[Comparison]) -> list[str]:
    """A note on what the marks mean; none without marks."""
    unlike = dict.fromkeys(what for found in compared for what in found.unlike)
    text = f"{MARK} Its softmax differs in more than the head, of these: {', '.join(unlike)}. See its table's warnings."
    return [text] if unlike else []


def differences_of_row(row: Row) -> list[Difference | None]:
    """A row's differences in accuracy: from the paper, from softmax, and the paper's own."""
    found = row.comparison
    return [row.from_paper, *([found.accuracy, found.paper] if found else [])]


def differences_of(groups: Sequence[Group]) -> list[Difference]:
    """Every difference of which a report shows a 95 % interval over seeds: in accuracy, and in the scores."""
    rows = [row for group in groups for row in group.rows]
    found = [one for row in rows for one in differences_of_row(row)]
    found += [one for row in rows if row.comparison for one in row.comparison.scores.values()]
    return [one for one in found if one and one.interval()]


def all_differences(groups: Sequence[Group]) -> list[Block]:
    """All comparisons with softmax: the checks of their intervals, and intervals that hold together. How many there
    are."""
    compared = [(group.title, row, row.comparison) for group in groups for row in group.rows if row.comparison]
    count = len(differences_of(groups))
    if not count:
        return []
    note = (
        f"{count} difference{'s' if count > 1 else ''}, in accuracy and in scores, {'have' if count > 1 else 'has'} a "
        "95 % interval over seeds in this report. If there were no true difference, about "
        f"{count * (1 - LEVEL):.2g} of them would be expected to miss 0 all the same."
    )
    joint = sum(found.together is not None for _, _, found in compared)
    together = (
        f"For all together: of 100 studies like this one, at least 95 have all {joint} true differences within these "
        "intervals (Dunnett within a table, Bonferroni between tables and where seeds are paired). Whoever looks for "
        "the heads that differ should read only these."
    )
    rows = [(name_of(title if len(groups) > 1 else "", row), found) for title, row, found in compared]
    columns = {
        "Head": [name for name, _ in rows],
        f"Head − softmax ({OVER_SEEDS})": [str(found.accuracy) for _, found in rows],
        OTHER_IMAGES: [interval_of(found.images) for _, found in rows],
        "For all together (95 %)": [
            ends_text(found.together) if found.together and joint > 1 else NONE for _, found in rows
        ],
        "Check: Welch (95 %)": [found.check.interval_text() if is_shared(found) else NONE for _, found in rows],
        "Detectable by Welch": [
            found.check.power.span if is_shared(found) and found.check.power else NONE for _, found in rows
        ],
        "Method": [found.accuracy.method for _, found in rows],
    }
    caption = "Differences from softmax with the checks of their intervals, in points of accuracy"
    notes = [note, *([together] if joint > 1 else []), *marks(found for _, found in rows)]
    return [table_of(caption, columns, notes, "differences")] if rows else [Text("paragraph", note)]


def is_shared(found: Comparison) -> bool:
    """Whether the interval rests on the spread that all heads of a table share, which Welch's test checks."""
    return found.accuracy.method == SHARED
