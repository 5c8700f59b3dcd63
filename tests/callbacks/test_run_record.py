import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sbn_lightning import Classifier, Digits, SoftmaxHead
from sbn_lightning.callbacks.evaluation_record import BINS, bin_edges, write_record

Fit = Callable[..., Path]


def test_a_test_keeps_what_the_model_said(fit_digits: Fit, sbn: Callable[..., None], digits_root: Path) -> None:
    run = fit_digits()
    sbn("test", "--config", run)
    model = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").eval()
    data = Digits(root=str(digits_root))
    data.prepare_data()
    data.setup("test")
    with torch.no_grad():
        logits = torch.cat([model(data.on_after_batch_transfer(batch, 0)[0]) for batch in data.test_dataloader()])
        effective = torch.linalg.vector_norm(model.head.as_linear().weight, dim=1)
    with np.load(run / "test.npz") as record:
        assert record["logits"].dtype == np.float16
        np.testing.assert_allclose(record["logits"], logits.numpy(), rtol=1e-3, atol=1e-3)
        assert record["labels"].tolist() == data._splits["test"].labels.tolist()
        assert record["logit_counts"].sum() == logits.numel()
        assert record["true_class_logit_counts"].sum() == len(logits)
        assert record["class_names"].tolist() == data.class_names
        np.testing.assert_allclose(record["effective_class_weight_norm"], effective.numpy(), rtol=1e-5)


@pytest.mark.parametrize("values", [[-700.0, 2.5, np.nan, 100.0], [1e6, 1e6], [0.1, 0.1 + 1e-6], [np.nan, np.inf]])
def test_histogram_holds_every_finite_logit_between_two_empty_bins(values: list[float]) -> None:
    logits = np.array(values, np.float32)
    edges = bin_edges(logits)
    assert (len(edges), (np.diff(edges) > 0).all()) == (BINS + 1, True)
    counts = np.histogram(logits[np.isfinite(logits)], edges)[0]
    assert (counts[0], counts.sum(), counts[-1]) == (0, np.isfinite(logits).sum(), 0)


def test_predictions_are_those_of_the_logits_before_rounding(tmp_path: Path) -> None:
    logits = np.array([[10.0, 10.001]], np.float32)  # equal as float16
    head = SoftmaxHead(3, 2)
    write_record(tmp_path / "test.npz", logits, np.array([1]), head, ["a", "b"])
    with np.load(tmp_path / "test.npz") as record:
        assert (record["logits"].argmax(1).tolist(), record["predictions"].tolist()) == ([0], [1])


def test_results_hold_the_refitted_calibration(fit_digits: Fit, sbn: Callable[..., None]) -> None:
    run = fit_digits()
    sbn("test", "--config", run)
    results = json.loads((run / "results.json").read_text())
    assert results["test"]["test/nll"] == pytest.approx(results["test"]["test/loss"], rel=1e-5)  # no margin, no penalty
    assert set(results["test"]["refitted"]) == {"nll", "calibration_error", "scales"}
    assert results["fit"]["peak_memory_bytes"] > 1e8
    assert len(results["data"]["fingerprint"]) == 16
