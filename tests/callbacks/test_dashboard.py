"""What all callbacks that show something have in common: charts, pictures, loggers."""

import csv
import re
import sys

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from sbn_lightning.callbacks import ClassWeightNorm, Dashboard, LogitGradient, LogitHistogram
from sbn_lightning.run.measures import shown_in


def layout_of(events):
    (event,) = events.Tensors("custom_scalars__config__")
    return Layout.FromString(event.tensor_proto.string_val[0])


def test_every_chart_shows_a_tag_that_was_written_and_every_tag_has_a_chart(fit):
    events = fit(LogitHistogram(), ClassWeightNorm(), LogitGradient(), LearningRateMonitor(), Dashboard())
    written = set(events.Tags()["scalars"])
    charts = [chart for category in layout_of(events).category for chart in category.chart]
    margins = [series for chart in charts for series in chart.margin.series]
    assert (len(charts), len(margins)) == (10 + 2 * len(shown_in("dashboard")), 4)
    patterns = [pattern for chart in charts for pattern in chart.multiline.tag]
    matched = {pattern: {tag for tag in written if re.match(pattern, tag)} for pattern in patterns}
    assert [pattern for pattern, tags in matched.items() if not tags] == []
    in_margins = {tag for series in margins for tag in (series.value, series.lower, series.upper)}
    assert set().union(*matched.values()) | in_margins == written - {"epoch", "train/batch_accuracy"}
    for series in margins:
        lower, value, upper = (events.Scalars(tag)[-1].value for tag in (series.lower, series.value, series.upper))
        assert lower <= value <= upper


def test_categories_are_those_of_the_callbacks_present_and_merged(fit):
    class Mine(Callback):
        charts = {"Training": {"Speed": ("Multiline", ["^speed$"])}, "Mine": {}}  # noqa: RUF012

    layout = layout_of(fit(LogitGradient(), Mine(), Dashboard()))
    assert [category.title for category in layout.category] == ["Training", "Gradient (eq. 8)", "Mine", "More measures"]
    assert [chart.title for chart in layout.category[0].chart] == [*Dashboard.charts["Training"], "Speed"]
    assert "Speed" not in Dashboard.charts["Training"]


@pytest.mark.parametrize(
    ("callback", "picture"), [(LogitHistogram, "figure2/logits"), (ClassWeightNorm, "figure3/class_weight_norm")]
)
def test_pictures_can_be_drawn_more_rarely_and_after_the_last_epoch(fit, callback, picture):
    events = fit(callback(picture_every_n_epochs=2), max_epochs=3)
    assert [event.step for event in events.Images(picture)] == [7, 11]
    assert [len(events.Histograms(tag)) for tag in events.Tags()["histograms"]] == [3, 3]
    image = events.Images(picture)[0]
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert image.width == 700  # of which TensorBoard shows half
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []  # drawn without its global state
    with pytest.raises(ValueError, match="picture_every_n_epochs 0 must be at least 1"):
        callback(picture_every_n_epochs=0)


def test_scalars_go_to_every_logger_and_pictures_to_the_first_tensorboard(fit, tmp_path):
    csv_logger = CSVLogger(tmp_path, name="", version="csv")
    tensorboard = TensorBoardLogger(tmp_path, name="", version="")
    events = fit(LogitHistogram(), LogitGradient(), logger=[csv_logger, tensorboard])
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").read_text().splitlines()))
    for tag in ["logits/std", "gradient/logit_norm"]:
        in_csv = {int(row["step"]): float(row[tag]) for row in rows if row[tag]}
        assert in_csv == pytest.approx({event.step: event.value for event in events.Scalars(tag)})
    assert len(events.Images("figure2/logits")) == 2


@pytest.mark.parametrize(
    ("callback", "tag"),
    [(LogitHistogram(), "logits/mean"), (ClassWeightNorm(), "class_weight/norm_mean"), (Dashboard(), "train/loss")],
)
def test_without_tensorboard_scalars_are_logged_and_a_warning_says_what_is_missing(fit, tmp_path, callback, tag):
    csv_logger = CSVLogger(tmp_path, name="", version="csv")
    missing = "trainer has no TensorBoardLogger: histograms, pictures and the dashboard's layout are not written"
    with pytest.warns(UserWarning, match=missing):
        fit(callback, logger=csv_logger, max_epochs=1)
    assert tag in (tmp_path / "csv" / "metrics.csv").read_text().splitlines()[0].split(",")


def test_a_fast_dev_run_does_not_warn(fit):
    fit(LogitHistogram(), ClassWeightNorm(), LogitGradient(), Dashboard(), fast_dev_run=True)
