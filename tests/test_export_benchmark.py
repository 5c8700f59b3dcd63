"""The measurements of exports, on a net so small that only their form is tested."""

from sbn_lightning import Classifier, ScaledBatchNormHead, SmallCNN
from tests.benchmarks import export


def test_onnxruntime_and_pytorch_are_measured_in_turns() -> None:
    classifier = Classifier(SmallCNN(2), ScaledBatchNormHead, 5).eval()
    row = export.in_onnxruntime(classifier, side=8, batch=2, repetitions=3).speed_row("what", "at least 1×")
    assert row.ours.endswith("/s")
    assert "× as fast (" in row.ratio


def test_folded_head_and_plain_layer_are_measured_in_turns() -> None:
    row = export.folded(SmallCNN(2), side=8, batch=2, repetitions=3).time_row("what", "1.00 ± 0.01×")
    assert "× the time (" in row.ratio
