"""What a report was made of: its runs one by one, and where, when and with what they were trained."""

import shlex
from collections.abc import Sequence

from sbn_lightning.report.cells import shown, table_of, time_taken
from sbn_lightning.report.render import Block, Table, Text
from sbn_lightning.report.runs import Run
from sbn_lightning.report.tables import HELD_OUT

PACKAGES = ("sbn-lightning", "torch", "lightning", "python")
MOST = 3
"""Different values that are listed; of more, only their number is given."""


def origin(runs: Sequence[Run], command: str) -> list[Block]:
    """When, on what and with what the runs were trained, and the command that made the report."""
    results = [run.results for run in runs if run.is_described]
    hardware = values_of(
        f"{one.hardware.name}, {one.hardware.cpu_cores} cores" if one.hardware.cpu_cores else one.hardware.name
        for one in results
        if one.hardware
    )
    versions = [
        f"{package} {' or '.join(found)}"
        for package in PACKAGES
        if (found := values_of(one.versions.get(package) for one in results))
    ]
    commits = values_of(one.commit for one in results)
    days = sorted(when[:10] for one in results for when in (one.started, one.fit and one.fit.ended) if when)
    parts = [
        f"Trained {span_of(days)}," if days else "Trained",
        f"on {' or '.join(hardware)}" if hardware else "",
        f"with {', '.join(versions)}" if versions else "",
        f"at commit {' or '.join(commits)}" if commits else "",
    ]
    made_by = f"{' '.join(filter(None, parts))}. This page is made by:"
    return [Text("section", "How this page was made"), Text("paragraph", made_by), Text("listing", command)]


def span_of(days: Sequence[str]) -> str:
    """From the first of sorted days to the last: `on DAY` or `from DAY to DAY`."""
    return f"on {days[0]}" if days[0] == days[-1] else f"from {days[0]} to {days[-1]}"


def values_of(found: object) -> list[str]:
    """Each value once, in order; their number where they are many."""
    values = [str(value) for value in dict.fromkeys(found) if value]  # type: ignore[call-overload]
    return values if len(values) <= MOST else [f"{len(values)} different ones"]


def command_of(*words: object) -> str:
    """A command as it is typed."""
    return shlex.join(map(str, words))


def training_command(run: Run) -> str:
    """The command that started a run, or else the options that its grid has for it."""
    options = run.planned.arguments if run.planned else []
    return next(iter(run.results.commands), command_of("sbn", "fit", *options) if options else "")


def table_of_runs(runs: Sequence[Run]) -> Table:
    """Every run that has started, with its own results."""
    shown_runs = [run for run in runs if run.is_described]
    lines = [run.line() for run in shown_runs]
    columns = {
        "Run": [run.name for run in shown_runs],
        "Accuracy": [shown(line["accuracy"], ".2f") for line in lines],
        "Seed": [shown(line["seed"]) for line in lines],
        "State": [run.state for run in shown_runs] if len({run.state for run in shown_runs}) > 1 else [],
        **{heading: [shown(line[column], ".2f") for line in lines] for heading, column in HELD_OUT.items()},
        "Best − last": [shown(line["best_minus_last"], ".2f") for line in lines],
        "Epochs": [shown(line["epochs_done"] or line["epochs"], ".4g") for line in lines],
        "Training time": [time_taken(line["seconds"]) for line in lines],
        "Started (UTC)": [shown(run.results.started, ".16").replace("T", " ") for run in shown_runs],
        "Command": [training_command(run) for run in shown_runs],
    }
    return table_of("Every run, accuracies in percent", columns)
