"""What the rows and tables of a report are called: short, and no two the same."""

import itertools
import re
from collections.abc import Iterable, Sequence

from sbn_lightning.report.runs import Run
from sbn_lightning.run.facts import COMPARED_BY, setting

LONGEST = 100
"""Characters of a file's name that come from a title."""


def table_names(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return the names of each table's dataset and backbone, with what distinguishes two tables that would read the
    same, given one run of each table."""
    names = [(run.dataset, run.backbone.title) for run in runs]
    of_data = distinct(names, [run.data_facts for run in runs])
    of_backbones = distinct(names, [run.backbone_facts for run in runs])
    return [
        (dataset + in_brackets(data), backbone + in_brackets(more))
        for (dataset, backbone), data, more in zip(names, of_data, of_backbones, strict=True)
    ]


def row_labels(runs: Sequence[Run]) -> list[str]:
    """Return a label for each row of a table, given one run of each: the head's title and settings; where these read
    the same, also what differs in the training, or else the grid's label."""
    settings = [[setting(name, value) for name, value in run.head.settings.items()] for run in runs]
    differing = distinct([run.head.name for run in runs], settings)
    labels = []
    for run, own, differs in zip(runs, settings, differing, strict=True):
        shown = [text for text in own if text in differs or text.split()[0] in COMPARED_BY]
        labels.append(", ".join([run.head.title, *shown]))
    training = [short_facts(run.protocol) for run in runs]
    of_grid = [[run.planned.label if run.planned else "not in the grid"] for run in runs]
    for facts in (training, of_grid):
        found = distinct(labels, facts)
        labels = [f"{label}; {', '.join(more)}" if more else label for label, more in zip(labels, found, strict=True)]
    return labels


def short_facts(protocol: str) -> list[str]:
    """Return the parts of a protocol, each setting of a class by itself: SGD(lr=0.10, momentum=0.9) is SGD, lr 0.1 and
    momentum 0.9."""
    facts: list[str] = []
    for part in protocol.split("; "):
        match = re.fullmatch(r"(\w+)\((.*)\)", part)
        if match:
            facts.append(match[1])
            facts += [short_setting(text) for text in match[2].split(", ")]
        else:
            facts.append(part.replace("learning rate ×", "lr ×"))
    return facts


def short_setting(text: str) -> str:
    """E.g. lr 1e+09 of lr=1000000000.0."""
    name, _, value = text.partition("=")
    try:
        return setting(name, float(value))
    except ValueError:
        return f"{name} {value}"


def distinct(names: Sequence[object], facts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return those of each item's facts that not every item of the same name has."""
    items = list(zip(names, facts, strict=True))
    return [
        [fact for fact in own if any(name == other and fact not in theirs for other, theirs in items)]
        for name, own in items
    ]


def in_brackets(facts: Sequence[str]) -> str:
    return f" ({', '.join(facts)})" if facts else ""


def file_names(titles: Iterable[str]) -> list[str]:
    """Return a file name for each title, no two the same."""
    names: list[str] = []
    for title in titles:
        name = re.sub(r"[^a-z0-9]+", "_", title.lower())[:LONGEST].strip("_") or "table"
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        names.append(next(one for one in itertools.chain([name], numbered) if one not in names))
    return names


def listed(names: Sequence[str]) -> str:
    """E.g. a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
