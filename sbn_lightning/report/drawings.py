"""Softmax and one other row of each table side by side: Figures 2 and 3, training and gradient curves, drawn from what
the runs recorded."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sbn_lightning import figures
from sbn_lightning.errors import UsageError
from sbn_lightning.figures import Histogram, Panel, Table
from sbn_lightning.figures.histogram import COVERED
from sbn_lightning.report.arrays import correct_of
from sbn_lightning.report.groups import Group
from sbn_lightning.report.render import Block, Picture, Text
from sbn_lightning.report.rows import Row
from sbn_lightning.report.runs import Run
from sbn_lightning.report.statistics import mcnemar
from sbn_lightning.run.arrays import read_test_arrays
from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import BrokenRecordError

BARS = 10
"""Classes that Figure 3 shows, as in the paper."""
LONGEST = 100
"""Characters of a file's name that come from a title."""
SMOOTHED_POINTS = 40
"""Gradients are logged batch by batch; the running mean's width is the number of points divided by this."""

Drawing = tuple[Any, str]
"""A figure and its caption."""


def pair_of_group(group: Group, stem: str, folder: Path) -> list[Block]:
    """Figures of softmax and the declared SBN row, else the first other that is finished and declared; of the first
    finished row where there is no such one."""
    others = (row for row in group.rows if row.finished and row.declared and not row.is_softmax)
    other = group.proposed or next(others, None)
    rows = [other] if other else [row for row in group.rows if row.finished][:1]
    if not rows:
        return [Text("paragraph", "There are no figures: no run is finished.")]
    softmax = [row.comparison.softmax for row in rows if row.comparison]
    return pair_of_rows([*softmax, *rows], group.title, stem, folder)


def pair_of_rows(rows: Sequence[Row], title: str, stem: str, folder: Path) -> list[Block]:
    """Figures of one or two rows; the lowest seed that both have represents each where one run is shown. McNemar's test
    of two rows of which one has a single run.

    Args:
        title: What the figures are about.
        stem: What their files' names begin with.
    """
    by_seed = {row.label: {run.seed: run for run in row.finished} for row in rows}
    common = set.intersection(*map(set, by_seed.values()))
    shown = {label: runs[min(common or runs)] for label, runs in by_seed.items()}
    of_one = f"{title}, seed {' and '.join(map(str, sorted({run.seed for run in shown.values()})))}"
    seeds = sorted(set().union(*by_seed.values()))
    of_all = f"{title}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    blocks: list[Block] = []
    for name, what, draw in (
        ("logits", "Figure 2 is", lambda: draw_figure_2(shown, of_one)),
        ("weights", "Figure 3 is", lambda: draw_figure_3(shown, of_one)),
        ("training", "The training curves are", lambda: draw_training(rows, title, of_all)),
        ("gradients", "The gradient curves are", lambda: draw_gradients(rows, title, of_all)),
    ):
        try:
            figure, caption = draw()
        except UsageError as error:
            blocks.append(Text("warning", f"{what} left out: {str(error).rstrip('.')}."))
        else:
            svg = figures.save_svg(figure, folder / f"{stem}_{name}.svg")
            blocks.append(Picture(f"{stem}_{name}", caption, svg))
    if len(rows) == 2 and min(len(row.finished) for row in rows) == 1:  # no interval says more
        blocks.append(compare_networks(*shown.values()))
    return blocks


def draw_figure_2(runs: Mapping[str, Run], title: str) -> Drawing:
    """Figure 2: the distribution of the test set's logits."""
    histograms = {}
    for label, run in runs.items():
        edges, counts, of_true_class = read_test_arrays(
            run.folder, "logit_edges", "logit_counts", "true_class_logit_counts"
        )
        histograms[label] = Histogram(edges, counts), Histogram(edges, of_true_class)
    cut = " and ".join(label for label, pair in histograms.items() if any(one.is_cut for one in pair))
    share = f"{100 * COVERED:g} %"
    less = f"the axis may hold less than {share} of {cut}, whose outermost bins also hold what lies beyond"
    axis = less if cut else f"the axis holds {share} of each distribution"
    caption = f"Figure 2. Logits on the test set, {title}: all N·C of them, and those of each image's own class. "
    return figures.draw_logits(histograms, title), f"{caption}Each area is 1; {axis}."


def draw_figure_3(runs: Mapping[str, Run], title: str) -> Drawing:
    """Figure 3: the norms of the class weights."""
    norms, names_of_runs = {}, []
    for label, run in runs.items():
        norm, used, class_names = read_test_arrays(
            run.folder, "class_weight_norm", "effective_class_weight_norm", "class_names"
        )
        norms[label] = norm, used
        names_of_runs.append(class_names.tolist())
    names = names_of_runs[0]
    if any(others != names for others in names_of_runs):
        names = [str(number) for number in range(min(map(len, names_of_runs)))]
    names = names[:BARS]
    caption = (
        f"Figure 3. Norms of the weights of the first {len(names)} classes, {title}; dashed: the mean of all classes. "
        "Only the lower panel compares heads: a normalization after the weights makes the loss blind to their size."
    )
    return figures.draw_norms(norms, names, title), caption


def draw_training(rows: Sequence[Row], title: str, subtitle: str) -> Drawing:
    """Accuracy and loss of each epoch."""
    runs = {row.label: [{e["epoch"]: e for e in run.fit.epochs} for run in row.finished] for row in rows}
    tags = tags_in([table for tables in runs.values() for table in tables])
    stages = {"test_each_epoch": "test set", "val": "held-out images"}
    stage = next((stage for stage in stages if f"{stage}/accuracy" in tags), None)
    if stage is None:
        raise UsageError("the runs were not evaluated after each epoch")
    note = f"(solid: {stages[stage]}; dashed: training)" if "train/accuracy" in tags else f"({stages[stage]})"
    panels = [
        Panel(f"Accuracy in percent {note}", {f"{stage}/accuracy": "-", "train/accuracy": "--"}, factor=100),
        Panel(f"Loss {note}", {f"{stage}/loss": "-", "train/loss": "--"}, logarithmic=True),
    ]
    callbacks = [callback for row in rows for run in row.finished for callback in run.training.callbacks]
    is_stopped = any("EarlyStopping" in callback for callback in callbacks)
    chosen = "Early stopping may have chosen the last epoch by one of" if is_stopped else "No epoch was chosen by"
    caption = (
        f"Training, {title}: mean over the seeds, shaded from the lowest to the highest. Heads have different losses: "
        f"their values cannot be compared. {chosen} these curves."
    )
    return figures.draw_curves(runs, panels, "epoch", subtitle), caption


def draw_gradients(rows: Sequence[Row], title: str, subtitle: str) -> Drawing:
    """The paper's argument: what gradient is left at the logits."""
    norm, share = "gradient/logit_norm", "gradient/share_confident"
    runs = {row.label: [read_metrics(run.folder) for run in row.finished] for row in rows}
    if not all(tags_in(tables) & {norm, share} for tables in runs.values()):
        raise UsageError("no gradients were logged")
    panels = [
        Panel("Gradient at the logits: mean ‖p − y‖", {norm: "-"}),
        Panel("Samples with more than 0.99 for their own class, in percent", {share: "-"}, factor=100),
    ]
    caption = (
        f"Gradients on training batches, {title}: mean over the seeds of a running mean over a {SMOOTHED_POINTS}th of "
        "the logged steps, shaded from the lowest to the highest seed."
    )
    return figures.draw_curves(runs, panels, "step", subtitle, SMOOTHED_POINTS), caption


def compare_networks(first: Run, second: Run) -> Block:
    """The result of McNemar's test in one sentence, with its limits."""
    try:
        (ours,), (theirs,) = correct_of([first], [second])
    except BrokenRecordError as error:
        return Text("warning", f"McNemar's test of {first.name} and {second.name} is left out: {error}.")
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    p = mcnemar(only_ours, only_theirs)
    sentence = (
        f"Two trained networks, {first.name} and {second.name}, on these {len(ours):,} images: the first alone has "
        f"{only_ours:,} right, the second alone {only_theirs:,}, both {(ours & theirs).sum():,}, neither "
        f"{(~ours & ~theirs).sum():,}; McNemar's exact test p {f'= {p:.2g}' if p >= 0.0001 else '< 0.0001'}. This "
        "compares these two networks, not the two heads: another seed gives other networks."
    )
    return Text("paragraph", sentence)


def tags_in(tables: Sequence[Table]) -> set[str]:
    """Return the tags that have a value in one of the tables."""
    return {tag for table in tables for row in table.values() for tag, value in row.items() if value is not None}


def file_names(titles: Iterable[str]) -> list[str]:
    """Return a file name for each title, no two the same."""
    names: list[str] = []
    for title in titles:
        name = re.sub(r"[^a-z0-9]+", "_", title.lower())[:LONGEST].strip("_") or "table"
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        names.append(next(one for one in itertools.chain([name], numbered) if one not in names))
    return names
