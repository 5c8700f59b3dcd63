"""What a run of `sbn fit` leaves for TensorBoard."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import metadata
from tensorboard.util.tensor_util import make_ndarray

from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import read_results
from sbn_lightning.tensorboard import BoardLogger, shown

Read = Callable[[Path], EventAccumulator]
OTHERS = {"custom_scalars__config__", metadata.EXPERIMENT_TAG, metadata.SESSION_START_INFO_TAG}
OTHERS |= {metadata.SESSION_END_INFO_TAG}


def content_of(events: EventAccumulator, tag: str) -> bytes:
    return events.SummaryMetadata(tag).plugin_data.content


def test_all_that_is_written_has_a_name_a_title_and_a_description_and_the_epoch_is_not(events) -> None:
    written = set(events.Tags()["tensors"])
    assert written > OTHERS
    for name in written - OTHERS:
        described = events.SummaryMetadata(name)
        assert re.match(r"\d+ [A-Z]", name)
        assert described.display_name
        assert described.summary_description
        assert described.plugin_data.plugin_name in ("scalars", "histograms", "images")
    assert not any("epoch" in name.replace("test_each_epoch", "") for name in written)


def test_values_are_of_the_kind_of_which_tensorboards_fast_reader_shows_descriptions(run: Path) -> None:
    legacy = event_accumulator.EventAccumulator(str(run))
    legacy.Reload()
    assert not legacy.Tags()["scalars"]
    assert not legacy.Tags()["images"]


def test_values_are_those_of_the_files_under_other_names(run: Path, events: EventAccumulator) -> None:
    for step, row in read_metrics(run).items():
        for tag, value in row.items():
            if tag != "epoch":
                points = {event.step: event.tensor_proto for event in events.Tensors(shown(tag).name)}
                assert make_ndarray(points[step]).item() == pytest.approx(value)


def test_hparams_has_a_column_for_what_runs_are_compared_by(run: Path, events: EventAccumulator) -> None:
    start = metadata.parse_session_start_info_plugin_data(content_of(events, metadata.SESSION_START_INFO_TAG))
    columns = {name: value.string_value or value.number_value for name, value in start.hparams.items()}
    assert columns == {
        "head": "SBN", "backbone": "SmallCNN", "dataset": "Digits", "learning rate": 0.02, "batch size": 128,
        "epochs": 2, "seed": "0", "head's scale": 3, "head's eps": 1e-5, "head's momentum": 0.1,
    }  # fmt: skip
    experiment = metadata.parse_experiment_plugin_data(content_of(events, metadata.EXPERIMENT_TAG))
    infos = experiment.hparam_infos
    assert {info.name for info in infos} == {*columns, "head's margin"}  # also of other runs, beside which this one is
    assert sorted((not info.differs, info.name) for info in infos)[:5] == [  # the page's order; it shows five
        (False, "head"), (False, "head's scale"), (False, "learning rate"), (False, "seed"), (True, "backbone")
    ]  # fmt: skip
    results = [(info.name.tag, info.display_name) for info in experiment.metric_infos]
    assert results[:3] == [
        ("1 Accuracy/test_each_epoch", "Accuracy, test set"),
        ("1 Accuracy/train", "Accuracy, training images"),
        ("3 Expected calibration error/test_each_epoch", "Expected calibration error, test set"),
    ]
    last = {tag: make_ndarray(events.Tensors(tag)[-1].tensor_proto).item() for tag, _ in results}
    fit = read_results(run).fit
    assert last["1 Accuracy/test_each_epoch"] == pytest.approx(fit.last["test_each_epoch/accuracy"], rel=1e-7)
    assert 0 < last["13 Time/minutes"] <= fit.seconds / 60


def test_custom_scalars_show_what_was_written(events: EventAccumulator) -> None:
    (event,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    charts = [chart for category in layout.category for chart in category.chart]
    assert [chart.title for chart in charts[:4]] == [
        f"{measure}: {images}"
        for measure in ("Accuracy", "Loss")
        for images in ("test set or held out", "training images")
    ]
    written = events.Tags()["tensors"]
    for chart in charts:
        patterns = chart.multiline.tag or [re.escape(series.value) for series in chart.margin.series]
        assert any(re.match(pattern, name) for pattern in patterns for name in written), chart.title


def test_users_own_tags_are_as_the_user_named_them(tmp_path: Path, read_events: Read) -> None:
    logger = BoardLogger(tmp_path)
    logger.log_metrics({"my/metric": 1.0, "epoch": 0}, step=3)
    logger.experiment.add_scalar("mine", 2.0, 3)
    logger.finalize("success")
    events = read_events(tmp_path)
    assert set(events.Tags()["tensors"]) == {"my/metric", "mine"}
    (event,) = events.Tensors("my/metric")
    assert (event.step, make_ndarray(event.tensor_proto).item()) == (3, 1.0)
    assert not (tmp_path / "hparams.yaml").exists()


def test_continued_run_ends_once_more_with_the_minutes_of_all_starts(
    train_digits: Callable[..., Path], read_events: Read
) -> None:
    run = train_digits("--trainer.max_epochs=1")
    train_digits("--ckpt_path=last", run_dir=run)
    events = read_events(run)
    first, second = (make_ndarray(event.tensor_proto).item() for event in events.Tensors("13 Time/minutes"))
    assert first > 0
    assert second == pytest.approx(read_results(run).fit.seconds / 60, abs=0.01)
    assert [event.step for event in events.Tensors("1 Accuracy/train")] == [11, 23]
    assert [event.step for event in events.Tensors("7 Pictures/training batch")] == [0]
    assert [event.step for event in events.Tensors("7 Pictures/confusion matrix")] == [11, 23]
