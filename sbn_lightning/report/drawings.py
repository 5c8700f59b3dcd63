"""Which runs are drawn, and what is read of them for it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sbn_lightning import figures
from sbn_lightning.figures import Distribution, Points
from sbn_lightning.report.document import Block, Caution
from sbn_lightning.report.picture_files import save
from sbn_lightning.report.records import Run, UnreadableRecordError
from sbn_lightning.report.rows import Row

BARS = 10
"""Classes that Figure 3 shows, as in the paper."""
SMOOTHED_POINTS = 40
"""Of a gradient curve, which is logged batch by batch: a running mean of one part in so many."""
GRADIENT_TAGS = ("gradient/logit_norm", "gradient/share_confident")
FIGURE_2 = ("logit_edges", "logit_counts", "true_class_logit_counts")
FIGURE_3 = ("class_weight_norm", "effective_class_weight_norm", "class_names")


def draw_pair(rows: Sequence[Row], seed: dict[str, int], title: str, stem: str, folder: Path) -> list[Block]:
    """Figures 2 and 3 of one run of each row, training and gradient curves of all.

    Args:
        rows: One or two.
        seed: Of the run that stands for each row, by the row's label.
        title: What the figures are about.
        stem: What their files' names begin with.
    """
    shown = {row.label: row.run_of(seed[row.label]) for row in rows}
    seeds = sorted(set(seed.values()))
    of_one = f"{title}, seed {' and '.join(map(str, seeds))}"
    blocks: list[Block] = []
    for name, draw in (("Figure 2", draw_figure_2), ("Figure 3", draw_figure_3)):
        try:
            blocks += draw(shown, of_one, stem, folder)
        except UnreadableRecordError as error:
            blocks.append(Caution(f"{name} is left out: {error}."))
    blocks += draw_training(rows, title, stem, folder)
    try:
        blocks += draw_gradients(rows, title, stem, folder)
    except UnreadableRecordError as error:
        blocks.append(Caution(f"The gradient curves are left out: {error}."))
    return blocks


def draw_figure_2(runs: dict[str, Run], title: str, stem: str, folder: Path) -> list[Block]:
    """Figure 2: the distribution of the test set's logits."""
    stored = {label: run.stored(*FIGURE_2) for label, run in runs.items()}
    if missing := [runs[label].name for label, arrays in stored.items() if not arrays]:
        return [without_test_npz("Figure 2", missing)]
    distributions = {
        label: (
            Distribution(arrays["logit_edges"], arrays["logit_counts"]),
            Distribution(arrays["logit_edges"], arrays["true_class_logit_counts"]),
        )
        for label, arrays in stored.items()
    }
    cut = [label for label, pair in distributions.items() if any(one.is_cut for one in pair)]
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
    return [save(figures.draw_logits(distributions, title), folder, f"{stem}_logits", caption)]


def draw_figure_3(runs: dict[str, Run], title: str, stem: str, folder: Path) -> list[Block]:
    """Figure 3: the norms of the class weights."""
    stored = {label: run.stored(*FIGURE_3) for label, run in runs.items()}
    if missing := [runs[label].name for label, arrays in stored.items() if not arrays]:
        return [without_test_npz("Figure 3", missing)]
    names = next(iter(stored.values()))["class_names"].tolist()
    if any(arrays["class_names"].tolist() != names for arrays in stored.values()):
        names = [f"{number}" for number in range(min(len(arrays["class_names"]) for arrays in stored.values()))]
    names = names[:BARS]
    shown = slice(len(names))
    norms = {
        label: (arrays["class_weight_norm"][shown], arrays["effective_class_weight_norm"][shown])
        for label, arrays in stored.items()
    }
    caption = (
        f"Figure 3. Norms of the weights of the first {len(names)} classes, {title}. Only the lower panel compares "
        "heads: a normalization after the weights makes the loss blind to their size."
    )
    return [save(figures.draw_norms(norms, names, title), folder, f"{stem}_weights", caption)]


def draw_training(rows: Sequence[Row], title: str, stem: str, folder: Path) -> list[Block]:
    """Accuracy and loss of each epoch."""
    runs = {row.label: [epoch_curves(outcome.epochs) for _, outcome in row.finished] for row in rows}
    tags = {tag for curves in runs.values() for run in curves for tag in run}
    watched = next((stage for stage in ("test_each_epoch", "val") if f"{stage}/accuracy" in tags), None)
    if watched is None:
        return [Caution("There are no training curves: the runs were not evaluated after each epoch.")]
    stage = "test set" if watched == "test_each_epoch" else "held-out images"
    note = f" (solid: {stage}; dashed: training)" if "train/accuracy" in tags else f" ({stage})"
    panels = [
        (f"{text}{note}", {f"{watched}/{metric}": "-", f"train/{metric}": "--"})
        for text, metric in (("Accuracy in percent", "accuracy"), ("Loss", "loss"))
    ]
    figure = figures.draw_curves(runs, panels, "epoch", f"{title}, {all_seeds(rows)}", (100, 1), [panels[1][0]])
    caption = (
        f"Training, {title}: mean over the seeds, shaded from the lowest to the highest. Heads have different losses: "
        "their values cannot be compared. Nothing was chosen by these curves."
    )
    return [save(figure, folder, f"{stem}_training", caption)]


def draw_gradients(rows: Sequence[Row], title: str, stem: str, folder: Path) -> list[Block]:
    """The paper's argument: what gradient is left at the logits."""
    runs = {
        row.label: [
            {tag: smooth(points) for tag, points in row.run_of(number).curves(*GRADIENT_TAGS).items()}
            for number, _ in row.finished
        ]
        for row in rows
    }
    if not all(any(curves) for curves in runs.values()):
        return [Caution("There are no gradient curves: metrics.csv is missing, or holds none.")]
    panels = [
        ("Gradient at the logits: mean ‖p − y‖", {GRADIENT_TAGS[0]: "-"}),
        ("Samples with more than 0.99 for their own class, in percent", {GRADIENT_TAGS[1]: "-"}),
    ]
    figure = figures.draw_curves(runs, panels, "step", f"{title}, {all_seeds(rows)}", (1, 100))
    caption = (
        f"Gradients on training batches, {title}: mean over the seeds of a running mean over a {SMOOTHED_POINTS}th of "
        "the logged steps, shaded from the lowest to the highest seed."
    )
    return [save(figure, folder, f"{stem}_gradients", caption)]


def epoch_curves(epochs: Iterable[dict[str, float]]) -> dict[str, Points]:
    """A run's metrics by tag, over the epochs."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for epoch in epochs:
        for tag, value in epoch.items():
            curves.setdefault(tag, []).append((epoch["epoch"], value))
    return dict(curves)


def smooth(points: Points) -> Points:
    """A running mean, of which as many points are drawn as an eye can tell apart."""
    means = figures.smooth(points, max(1, len(points) // SMOOTHED_POINTS))
    return means[:: max(1, len(means) // (4 * SMOOTHED_POINTS))]


def all_seeds(rows: Sequence[Row]) -> str:
    """Which seeds the curves are of."""
    seeds = sorted({number for row in rows for number, _ in row.finished})
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def without_test_npz(figure: str, runs: Sequence[str]) -> Caution:
    return Caution(f"{figure} is left out: no test.npz in {', '.join(runs)} (an older record); sbn test writes it.")
