import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sbn_lightning import Classifier, Digits, SoftmaxHead
from sbn_lightning.callbacks.class_weight_norm import weight_norms
from sbn_lightning.callbacks.outputs import LOGIT_BINS, bin_edges, class_accuracy, write_arrays
from sbn_lightning.cli import commands
from sbn_lightning.run.arrays import read_test_arrays
from sbn_lightning.run.calibration import brier, nll
from sbn_lightning.run.measures import MEASURES
from sbn_lightning.run.records import read_results


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, digits_root: Path) -> Path:
    """A run that is trained and tested once for all tests of this file."""
    run = tmp_path_factory.mktemp("tested") / "run"
    commands.main(
        ["fit", "--config", "digits_sbn", "--data.root", str(digits_root), "--run_dir", str(run),
         "--model.backbone.width", "4", "--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false"]
    )  # fmt: skip
    commands.main(["test", "--config", str(run)])
    return run


def test_a_test_keeps_what_the_model_said(run: Path, digits_root: Path) -> None:
    model = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").eval()
    data = Digits(root=str(digits_root))
    data.prepare_data()
    data.setup("test")
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.test_dataloader()]
    with torch.no_grad():
        logits = torch.cat([model(images) for images, _ in batches])
        effective = torch.linalg.vector_norm(model.head.as_linear().weight, dim=1)
    with np.load(run / "test.npz") as record:
        assert record["logits"].dtype == np.float32
        np.testing.assert_allclose(record["logits"], logits.numpy(), rtol=1e-5, atol=1e-5)
        assert record["labels"].tolist() == torch.cat([labels for _, labels in batches]).tolist()
        assert record["logit_counts"].sum() == logits.numel()
        assert record["true_class_logit_counts"].sum() == len(logits)
        assert record["class_names"].tolist() == data.class_names
        np.testing.assert_allclose(record["effective_class_weight_norm"], effective.numpy(), rtol=1e-5)


def test_record_of_a_test_has_the_accuracy_of_each_class(run: Path) -> None:
    test = read_results(run).evaluations["test"]
    with np.load(run / "test.npz") as arrays:
        labels, right = arrays["labels"], arrays["predictions"] == arrays["labels"]
        names = arrays["class_names"].tolist()
    assert test.class_accuracy == {name: round(right[labels == c].mean(), 6) for c, name in enumerate(names)}
    assert test.metrics["accuracy"] == pytest.approx(test.correct / test.images, abs=1e-7)
    assert len(str(test.metrics["accuracy"])) < 14


def test_class_without_images_has_no_accuracy() -> None:
    logits = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0]], np.float32)
    assert class_accuracy(logits, np.array([0, 0, 2]), ["a", "b", "c"]) == {"a": 1.0, "c": 0.0}


@pytest.mark.parametrize("values", [[-700.0, 2.5, np.nan, 100.0], [1e6, 1e6], [0.1, 0.1 + 1e-6], [np.nan, np.inf]])
def test_histogram_holds_every_finite_logit_between_two_empty_bins(values: list[float]) -> None:
    logits = np.array(values, np.float32)
    edges = bin_edges(logits)
    assert (len(edges), (np.diff(edges) > 0).all()) == (LOGIT_BINS + 1, True)
    counts = np.histogram(logits[np.isfinite(logits)], edges)[0]
    assert (counts[0], counts.sum(), counts[-1]) == (0, np.isfinite(logits).sum(), 0)


def test_logits_are_kept_as_they_are(tmp_path: Path) -> None:
    logits = np.array([[1e6, 1e6 + 1]], np.float32)  # float16 would make both infinite
    write_arrays(tmp_path / "test.npz", logits, np.array([1]), weight_norms(SoftmaxHead(3, 2)), ["a", "b"])
    with np.load(tmp_path / "test.npz") as record:
        np.testing.assert_array_equal(record["logits"], logits)
        assert record["predictions"].tolist() == [1]


def test_figures_of_the_stored_logits_are_the_recorded_ones(run: Path) -> None:
    test = read_results(run).evaluations["test"]
    logits, labels = read_test_arrays(run, "logits", "labels")
    assert nll(logits.astype(np.float64), labels) == pytest.approx(test.metrics["nll"], rel=1e-6)
    assert brier(logits.astype(np.float64), labels) == pytest.approx(test.metrics["brier"], rel=1e-6)


def test_logits_of_earlier_versions_are_read(run: Path, tmp_path: Path) -> None:
    with np.load(run / "test.npz") as record:
        arrays = dict(record)
    np.savez(tmp_path / "test.npz", **arrays | {"logits": arrays["logits"].astype(np.float16)})
    (logits,) = read_test_arrays(tmp_path, "logits")
    assert logits.dtype == np.float16


def test_results_hold_counts_measures_and_the_refitted_calibration(run: Path) -> None:
    results = read_results(run)
    test, last = results.evaluations["test"], results.fit.last
    assert set(test.metrics) == {measure.name for measure in MEASURES} | {"nll", "brier"}
    for measure in MEASURES:  # the same weights on the same images
        assert test.metrics[measure.name] == pytest.approx(last[f"test_each_epoch/{measure.name}"], rel=1e-6)
    assert test.metrics["nll"] == pytest.approx(test.metrics["loss"], rel=1e-5)  # no margin, no penalty
    assert test.refitted.nll < test.metrics["nll"]
    assert len(test.refitted.scales) == 10
    assert 0 < test.calibrated.calibration_error < test.calibrated.highest < 1
    with np.load(run / "test.npz") as record:
        assert test.correct == (record["predictions"] == record["labels"]).sum()
    assert test.images == 360
    assert results.fit.peak_memory_bytes > 1e8
    assert len(results.data.fingerprint) == 16
    assert (results.model.head.title, results.model.backbone.title) == ("SBN", "SmallCNN")


def test_a_test_without_a_training_in_its_folder_makes_the_record(
    run: Path, sbn: Callable[..., None], tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "copied"))
    (copied / "results.json").unlink()
    sbn("test", "--config", copied / "config.yaml", "--run_dir", copied)
    results = read_results(copied)
    assert results.fit is None
    assert results.evaluations["test"].images == 360
