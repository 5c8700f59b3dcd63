import re

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateMonitor
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from sbn_lightning.callbacks import ClassWeightNorm, Dashboard, LogitGradient, LogitHistogram
from sbn_lightning.callbacks.dashboard import merge_charts
from sbn_lightning.run.measures import shown_in


def layout_of(events):
    (event,) = events.Tensors("custom_scalars__config__")
    return Layout.FromString(event.tensor_proto.string_val[0])


@pytest.fixture
def events(fit):
    return fit(LogitHistogram(), ClassWeightNorm(), LogitGradient(), LearningRateMonitor(), Dashboard())


def test_every_chart_shows_a_tag_that_was_written(events):
    written = events.Tags()["scalars"]
    charts = [chart for category in layout_of(events).category for chart in category.chart]
    assert len(charts) == 10 + len(shown_in("dashboard"))
    for chart in charts:
        for pattern in chart.multiline.tag:
            assert any(re.match(pattern, tag) for tag in written), f"{chart.title}: {pattern}"
        for series in chart.margin.series:
            assert {series.value, series.lower, series.upper} <= set(written), chart.title


def test_every_tag_of_the_callbacks_has_a_chart(events):
    charts = [chart for category in layout_of(events).category for chart in category.chart]
    patterns = [pattern for chart in charts for pattern in chart.multiline.tag]
    patterns += [
        re.escape(tag) + "$" for chart in charts for s in chart.margin.series for tag in (s.value, s.lower, s.upper)
    ]
    for tag in events.Tags()["scalars"]:
        assert tag == "epoch" or any(re.match(pattern, tag) for pattern in patterns), tag


def test_categories_are_those_of_the_callbacks_present(fit):
    categories = [category.title for category in layout_of(fit(LogitGradient(), Dashboard())).category]
    assert categories == ["Training", "Gradient (eq. 8)"]


def test_lower_bound_value_and_upper_bound_of_a_margin_are_ordered(events):
    margins = [s for category in layout_of(events).category for chart in category.chart for s in chart.margin.series]
    assert len(margins) == 4
    for series in margins:
        lower, value, upper = (events.Scalars(tag)[-1].value for tag in (series.lower, series.value, series.upper))
        assert lower <= value <= upper


def test_charts_of_one_category_are_merged():
    class Mine(Callback):
        charts = {"Training": {"Speed": ("Multiline", ["^speed$"])}, "Mine": {}}  # noqa: RUF012

    merged = merge_charts([Dashboard(), Callback(), Mine()])
    assert list(merged) == ["Training", "Mine"]
    assert list(merged["Training"]) == [*Dashboard.charts["Training"], "Speed"]
    assert "Speed" not in Dashboard.charts["Training"]
