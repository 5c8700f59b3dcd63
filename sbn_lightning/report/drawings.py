"""Draws Figures 2 and 3, and the training and gradient curves, from what the runs of one or two rows recorded."""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_lightning import figures
from sbn_lightning.errors import UsageError
from sbn_lightning.figures import Histogram, Points
from sbn_lightning.report.render import Block, Picture, Text
from sbn_lightning.report.rows import Row
from sbn_lightning.report.runs import Run
from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import BrokenRecordError

TEST_ARRAYS = "test.npz"
BARS = 10
"""Classes that Figure 3 shows, as in the paper."""
SMOOTHED_POINTS = 40
"""Gradients are logged batch by batch; the running mean's width is the number of points divided by this."""
GRADIENT_TAGS = ("gradient/logit_norm", "gradient/share_confident")
FIGURE_2 = ("logit_edges", "logit_counts", "true_class_logit_counts")
FIGURE_3 = ("class_weight_norm", "effective_class_weight_norm", "class_names")


def draw_rows(rows: Sequence[Row], seed: Mapping[str, int], title: str, stem: str, folder: Path) -> list[Block]:
    """Figures 2 and 3 of one run of each row, training and gradient curves of all.

    Args:
        rows: One or two.
        seed: Of the run that represents each row, by the row's label.
        title: What the figures are about.
        stem: What their files' names begin with.
    """
    shown = {row.label: row.run_of(seed[row.label]) for row in rows}
    of_one = f"{title}, seed {' and '.join(map(str, sorted(set(seed.values()))))}"
    seeds = sorted({run.seed for row in rows for run in row.finished})
    of_all = f"{title}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"

    def save(figure: Any, name: str, caption: str) -> Picture:
        svg = figures.save_svg(figure, folder / f"{stem}_{name}.svg")
        return Picture(f"{stem}_{name}", caption, svg)

    blocks: list[Block] = []
    for what, draw in {
        "Figure 2 is": lambda: save(*draw_figure_2(shown, of_one)),
        "Figure 3 is": lambda: save(*draw_figure_3(shown, of_one)),
        "The training curves are": lambda: save(*draw_training(rows, title, of_all)),
        "The gradient curves are": lambda: save(*draw_gradients(rows, title, of_all)),
    }.items():
        try:
            blocks.append(draw())
        except UsageError as error:
            blocks.append(Text("warning", f"{what} left out: {str(error).rstrip('.')}."))
    return blocks


Drawing = tuple[Any, str, str]
"""A figure, the end of its file's name, and its caption."""


def draw_figure_2(runs: Mapping[str, Run], title: str) -> Drawing:
    """Figure 2: the distribution of the test set's logits."""
    stored = {label: arrays_of(run, *FIGURE_2) for label, run in runs.items()}
    histograms = {
        label: (Histogram(edges, counts), Histogram(edges, true_class_counts))
        for label, (edges, counts, true_class_counts) in stored.items()
    }
    cut = [label for label, pair in histograms.items() if any(one.is_cut for one in pair)]
    share = f"{100 * figures.COVERED:g} %"
    axis = (
        f"the axis may hold less than {share} of {' and '.join(cut)}, whose outermost bins also hold what lies beyond"
        if cut
        else f"the axis holds {share} of each distribution"
    )
    caption = (
        f"Figure 2. Logits on the test set, {title}: all N·C of them, and those of each image's own class. "
        f"Each area is 1; {axis}."
    )
    return figures.draw_logits(histograms, title), "logits", caption


def draw_figure_3(runs: Mapping[str, Run], title: str) -> Drawing:
    """Figure 3: the norms of the class weights."""
    stored = {label: arrays_of(run, *FIGURE_3) for label, run in runs.items()}
    all_names = [class_names.tolist() for _, _, class_names in stored.values()]
    names = all_names[0]
    if any(others != names for others in all_names):
        names = [str(number) for number in range(min(map(len, all_names)))]
    names = names[:BARS]
    norms = {label: (norm, effective_norm) for label, (norm, effective_norm, _) in stored.items()}
    caption = (
        f"Figure 3. Norms of the weights of the first {len(names)} classes, {title}; dashed: the mean of all classes. "
        "Only the lower panel compares heads: a normalization after the weights makes the loss blind to their size."
    )
    return figures.draw_norms(norms, names, title), "weights", caption


def draw_training(rows: Sequence[Row], title: str, subtitle: str) -> Drawing:
    """Accuracy and loss of each epoch."""
    runs = {row.label: [curves_of((e["epoch"], e) for e in run.fit.epochs) for run in row.finished] for row in rows}
    tags = {tag for curves in runs.values() for run in curves for tag in run}
    watched = next((stage for stage in ("test_each_epoch", "val") if f"{stage}/accuracy" in tags), None)
    if watched is None:
        raise UsageError("the runs were not evaluated after each epoch")
    stage = "test set" if watched == "test_each_epoch" else "held-out images"
    note = f" (solid: {stage}; dashed: training)" if "train/accuracy" in tags else f" ({stage})"
    panels = [
        (f"{text}{note}", {f"{watched}/{metric}": "-", f"train/{metric}": "--"})
        for text, metric in (("Accuracy in percent", "accuracy"), ("Loss", "loss"))
    ]
    figure = figures.draw_curves(runs, panels, "epoch", subtitle, (100, 1), [panels[1][0]])
    caption = (
        f"Training, {title}: mean over the seeds, shaded from the lowest to the highest. Heads have different losses: "
        "their values cannot be compared. Nothing was chosen by these curves."
    )
    return figure, "training", caption


def draw_gradients(rows: Sequence[Row], title: str, subtitle: str) -> Drawing:
    """The paper's argument: what gradient is left at the logits."""
    runs = {
        row.label: [
            {
                tag: thinned(points)
                for tag, points in curves_of(read_metrics(run.folder).items()).items()
                if tag in GRADIENT_TAGS
            }
            for run in row.finished
        ]
        for row in rows
    }
    if not all(any(curves) for curves in runs.values()):
        raise UsageError("the runs' metrics hold none")
    panels = [
        ("Gradient at the logits: mean ‖p − y‖", {GRADIENT_TAGS[0]: "-"}),
        ("Samples with more than 0.99 for their own class, in percent", {GRADIENT_TAGS[1]: "-"}),
    ]
    figure = figures.draw_curves(runs, panels, "step", subtitle, (1, 100))
    caption = (
        f"Gradients on training batches, {title}: mean over the seeds of a running mean over a {SMOOTHED_POINTS}th of "
        "the logged steps, shaded from the lowest to the highest seed."
    )
    return figure, "gradients", caption


def curves_of(rows: Iterable[tuple[float | None, Mapping[str, float | None]]]) -> dict[str, Points]:
    """Return the points of each tag, given (x, {tag: value}) of each epoch or step."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for x, values in rows:
        for tag, value in values.items():
            if x is not None and value is not None:
                curves.setdefault(tag, []).append((x, value))
    return dict(curves)


def thinned(points: Points) -> Points:
    """A running mean, thinned to the number of points that can be distinguished."""
    means = figures.smooth(points, max(1, len(points) // SMOOTHED_POINTS))
    return means[:: max(1, len(means) // (4 * SMOOTHED_POINTS))]


def arrays_of(run: Run, *names: str) -> list[NDArray[Any]]:
    """Return arrays of a run's test.npz, of which only these are read.

    Raises:
        BrokenRecordError: If the file is missing or damaged.
    """
    file = run.folder / TEST_ARRAYS
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return [archive[name] for name in names]
    except FileNotFoundError as error:
        raise BrokenRecordError(f"{run.name} has no {TEST_ARRAYS}; sbn test writes it") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BrokenRecordError(f"{file} cannot be read: {error}") from error
