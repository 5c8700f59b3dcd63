import csv
import sys

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from sbn_lightning.callbacks import ClassWeightNorm, Dashboard, LogitGradient, LogitHistogram

NO_TENSORBOARD = "trainer has no TensorBoardLogger: histograms, pictures and the dashboard's layout are not written"


def test_scalars_go_to_every_logger_and_pictures_to_the_first_tensorboard(fit, tmp_path):
    csv_logger = CSVLogger(tmp_path, name="", version="csv")
    tensorboard = TensorBoardLogger(tmp_path, name="", version="")
    events = fit(LogitHistogram(), LogitGradient(), logger=[csv_logger, tensorboard])
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").read_text().splitlines()))
    for tag in ["logits/std", "gradient/logit_norm"]:
        in_csv = {int(row["step"]): float(row[tag]) for row in rows if row[tag]}
        assert in_csv == pytest.approx({event.step: event.value for event in events.Scalars(tag)})
    assert len(events.Images("figure2/logits")) == 2


@pytest.mark.filterwarnings("ignore:.*has no TensorBoardLogger:UserWarning")  # the next test's subject
def test_without_tensorboard_the_scalars_are_still_logged(fit, tmp_path):
    csv_logger = CSVLogger(tmp_path, name="", version="csv")
    fit(LogitHistogram(), ClassWeightNorm(), LogitGradient(), Dashboard(), logger=csv_logger)
    header = (tmp_path / "csv" / "metrics.csv").read_text().splitlines()[0]
    for tag in ["logits/mean", "class_weight/norm_mean", "gradient/logit_norm"]:
        assert tag in header


@pytest.mark.parametrize("callback", [LogitHistogram(), ClassWeightNorm(), Dashboard()])
def test_without_tensorboard_a_warning_says_what_is_missing(fit, callback):
    with pytest.warns(UserWarning, match=NO_TENSORBOARD):
        fit(callback, logger=False, max_epochs=1)


def test_a_fast_dev_run_does_not_warn(fit):
    fit(LogitHistogram(), ClassWeightNorm(), LogitGradient(), Dashboard(), fast_dev_run=True)


def test_pictures_are_drawn_without_pyplots_global_state(fit):
    fit(LogitHistogram(), ClassWeightNorm(), max_epochs=1)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
