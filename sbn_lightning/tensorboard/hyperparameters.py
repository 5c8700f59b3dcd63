"""TensorBoard's page "HParams": a table with a row for each run, what it was trained with and what came out."""

import time
from collections.abc import Mapping

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    STATUS_SUCCESS,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from sbn_lightning.run.facts import COMPARED_BY
from sbn_lightning.run.records import Results
from sbn_lightning.tensorboard.names import MINUTES, shown

Columns = Mapping[str, str | float]
OPEN = ("head", "head's scale", "learning rate", "seed")
"""The columns that come first, in the order of their names. The page shows five at once, then the results; it has a
tick box for each of the others."""


def columns(facts: Results, learning_rate: float) -> Columns:
    """Return what a run is trained with: a column for what people compare, and one for each setting of its head."""
    data, model, training = facts.data, facts.model, facts.training
    if data is None or model is None or training is None:
        raise ValueError("these are not the facts of a training")
    settings = {name: value for name, value in model.head.settings.items() if isinstance(value, int | float | str)}
    found: dict[str, str | float] = {
        "head": model.head.title,
        "learning rate": learning_rate,
        "batch size": data.batch_size,
        "seed": str(training.seed),  # a number would read 0.0000
        "backbone": model.backbone.title,
        "dataset": data.name,
        **{f"head's {name}": value if isinstance(value, str) else float(value) for name, value in settings.items()},
    }
    if training.epochs not in (None, -1):
        found["epochs"] = float(training.epochs)
    return found


def results(stage: str | None) -> list[str]:
    """Return the tags whose last values are shown of a run that ends each epoch with this stage. The page shows five
    at once."""
    of_stage = {name: [f"{stage}/{name}"] if stage else [] for name in ("accuracy", "calibration_error", "macro_f1")}
    return [*of_stage["accuracy"], "train/accuracy", *of_stage["calibration_error"], MINUTES, *of_stage["macro_f1"]]


def start(run: Columns, tags: list[str]) -> list[Summary]:
    """Return what is written when a run starts.

    The page takes its columns from one of the runs that it shows, so they are nearly the same in all; those of the
    settings by which heads are compared are there for heads without them, too.
    """
    compared = {f"head's {name}": 0.0 for name in COMPARED_BY}
    experiment = Experiment(
        hparam_infos=[
            HParamInfo(
                name=name,
                type=DATA_TYPE_STRING if isinstance(value, str) else DATA_TYPE_FLOAT64,
                differs=name in OPEN,  # these come first
            )
            for name, value in (compared | dict(run)).items()
        ],
        metric_infos=[
            MetricInfo(name=MetricName(tag=row.name), display_name=row.title, description=row.description)
            for row in filter(None, map(shown, tags))
        ],
    )
    session = SessionStartInfo(start_time_secs=time.time())  # without a group's name: a row of its own
    for name, value in run.items():
        if isinstance(value, str):
            session.hparams[name].string_value = value
        else:
            session.hparams[name].number_value = value
    return [
        summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment)),
        summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=session)),
    ]


def end() -> Summary:
    """Return what is written when a run has ended."""
    session = SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time.time())
    return summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=session))


def summary(tag: str, content: HParamsPluginData) -> Summary:
    described = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)])
