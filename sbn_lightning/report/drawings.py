"""The figures of a report: Figures 2 and 3, training and gradient curves of several heads, drawn from what the runs
recorded."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sbn_lightning import figures
from sbn_lightning.errors import UsageError
from sbn_lightning.figures import COLORS, Panel
from sbn_lightning.figures.histogram import COVERED
from sbn_lightning.report.recorded import NORM, SHARE, logged_gradients, logits_of, norms_of, readable, tags_in
from sbn_lightning.report.render import Block, Picture, Text
from sbn_lightning.report.rows import Row
from sbn_lightning.report.runs import Run

BARS = 10
"""Classes that Figure 3 shows, as in the paper."""
SMOOTHED_POINTS = 40
"""Gradients are logged batch by batch; the running mean's width is the number of points divided by this."""
STAGES = {"test_each_epoch": "test set", "val": "held-out images"}

Drawing = tuple[Any, str]
"""A figure and its caption."""


def sets_of_rows(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the finished rows in their order, in sets that have at most as many rows as there are colors.

    If there are several sets, they have about the same size, and each begins with the first softmax row.
    """
    finished = [row for row in rows if row.finished]
    if len(finished) <= len(COLORS):
        return [finished] if finished else []
    reference = [row for row in finished if row.is_softmax][:1]
    others = [row for row in finished if row not in reference]
    num_sets = math.ceil(len(others) / (len(COLORS) - len(reference)))
    size = math.ceil(len(others) / num_sets)
    return [[*reference, *others[start : start + size]] for start in range(0, len(others), size)]


def pictures_of(rows: Sequence[Row], title: str, stem: str, folder: Path) -> dict[str, Block]:
    """Return {name: figure, or a warning where it cannot be drawn} of finished rows.

    Args:
        title: What the figures are about.
        stem: What their files' names begin with.
    """
    shown = run_of_each(rows)
    of_one = f"{title}, {seeds_text(run.seed for run in shown.values())}"
    of_all = f"{title}, {seeds_text(run.seed for row in rows for run in row.finished)}"
    draws: dict[str, tuple[str, Callable[[], Drawing]]] = {
        "training": ("The training curves are", lambda: draw_training(rows, title, of_all)),
        "logits": ("Figure 2 is", lambda: draw_figure_2(shown, of_one)),
        "weights": ("Figure 3 is", lambda: draw_figure_3(shown, of_one)),
        "gradients": ("The gradient curves are", lambda: draw_gradients(rows, title, of_all)),
    }
    blocks: dict[str, Block] = {}
    for name, (what, draw) in draws.items():
        try:
            figure, caption = draw()
        except UsageError as error:
            blocks[name] = Text("warning", f"{what} left out: {str(error).rstrip('.')}.")
        else:
            svg = figures.save_figure(figure, folder, f"{stem}_{name}")
            blocks[name] = Picture(f"{stem}_{name}", caption, svg)
    return blocks


def run_of_each(rows: Sequence[Row]) -> dict[str, Run]:
    """{label: the run that represents the row where one is shown}: of the lowest seed that all of them have."""
    by_seed = {row.label: {run.seed: run for run in row.finished} for row in rows}
    common = set.intersection(*map(set, by_seed.values()))
    return {label: runs[min(common or runs)] for label, runs in by_seed.items()}


def seeds_text(found: Iterable[int]) -> str:
    seeds = sorted(set(found))
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def draw_figure_2(runs: Mapping[str, Run], title: str) -> Drawing:
    """Figure 2: the distribution of the test set's logits."""
    histograms, note = readable(runs, logits_of)
    cut = " and ".join(label for label, pair in histograms.items() if any(one.is_cut for one in pair))
    share = f"{100 * COVERED:g} %"
    less = f"the axis may hold less than {share} of {cut}, whose outermost bins also hold what lies beyond"
    axis = less if cut else f"the axis holds {share} of each distribution"
    caption = (
        f"Logits on the test set (the paper's Figure 2), {title}: all N·C of them, and those of each image's own "
        f"class. Each area is 1; {axis}.{note}"
    )
    return figures.draw_logits(histograms, title), caption


def draw_figure_3(runs: Mapping[str, Run], title: str) -> Drawing:
    """Figure 3: the norms of the class weights."""
    found, note = readable(runs, norms_of)
    norms = {label: (norm, used) for label, (norm, used, _) in found.items()}
    names_of_runs = [class_names.tolist() for _, _, class_names in found.values()]
    names = names_of_runs[0]
    if any(others != names for others in names_of_runs):
        names = [str(number) for number in range(min(map(len, names_of_runs)))]
    names = names[:BARS]
    caption = (
        f"Norms of the weights of the first {len(names)} classes (the paper's Figure 3), {title}; dashed: the mean of "
        "all classes. Only the lower panel compares heads: a normalization after the weights makes the loss blind to "
        f"their size. A head that computes cosines takes features of length 1: there, the norm is its scale.{note}"
    )
    return figures.draw_norms(norms, names, title), caption


def draw_training(rows: Sequence[Row], title: str, subtitle: str) -> Drawing:
    """Error and loss of each epoch."""
    runs = {row.label: [{e["epoch"]: e for e in run.fit.epochs} for run in row.finished] for row in rows}
    tags = tags_in([table for tables in runs.values() for table in tables])
    stages = [stage for stage in STAGES if f"{stage}/accuracy" in tags]  # each run has one of them
    if not stages:
        raise UsageError("the runs were not evaluated after each epoch")
    images = " or ".join(STAGES[stage] for stage in stages)
    note = " (dashed: training)" if "train/accuracy" in tags else ""
    error, loss = ({f"{stage}/{name}": "-" for stage in stages} for name in ("accuracy", "loss"))
    panels = [
        Panel("Error in percent" + note, error | {"train/accuracy": "--"}, lambda share: 100 * (1 - share), True),
        Panel("Loss" + note, loss | {"train/loss": "--"}, logarithmic=True),
    ]
    callbacks = [callback for row in rows for run in row.finished for callback in run.training.callbacks]
    is_stopped = any("EarlyStopping" in callback for callback in callbacks)
    chosen = "Early stopping may have chosen the last epoch by one of" if is_stopped else "No epoch was chosen by"
    caption = (
        f"Training, {title}; solid lines: {images}; mean over the seeds, shaded from the lowest to the highest. The "
        "error is 100 − accuracy; both axes are logarithmic. Heads have different losses: their values cannot be "
        f"compared. {chosen} these curves."
    )
    return figures.draw_curves(runs, panels, "epoch", subtitle), caption


def draw_gradients(rows: Sequence[Row], title: str, subtitle: str) -> Drawing:
    """The paper's argument: what gradient is left at the logits."""
    runs, note = readable({row.label: row for row in rows}, logged_gradients)
    panels = [
        Panel("Gradient at the logits: mean ‖p − y‖", {NORM: "-"}),
        Panel("Samples with more than 0.99 for their own class, in percent", {SHARE: "-"}, lambda part: 100 * part),
    ]
    caption = (
        f"Gradients on training batches, {title}: each curve is smoothed over one {SMOOTHED_POINTS}th of its length, "
        "then the mean over the seeds is taken; shaded from the lowest to the highest seed. They are the gradients of "
        "cross-entropy at the logits that inference uses: a head that trains on other logits, as those with a "
        f"margin and LogitNorm do, has other gradients.{note}"
    )
    return figures.draw_curves(runs, panels, "step", subtitle, SMOOTHED_POINTS), caption
