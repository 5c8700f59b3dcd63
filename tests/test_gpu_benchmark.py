"""The measurements for a GPU, on a CPU: that they will run when there is one."""

import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from sbn_lightning import Classifier, SmallCNN, SoftmaxHead
from sbn_lightning.data.datasets import cifar100
from tests.benchmarks import evaluation, gpu
from tests.benchmarks.cifar100_files import write_random_files

ROOT = Path(__file__).parent.parent
TINY = ["--model.backbone=SmallCNN", "--model.backbone.width=2", "--trainer.accelerator=cpu"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 300 images in place of CIFAR-100's."""
    monkeypatch.chdir(ROOT)
    for split in ("train", "test"):
        monkeypatch.setitem(cifar100.NUM_IMAGES, split, 300)
    write_random_files(tmp_path / cifar100.FOLDER)
    return tmp_path


def test_measures_a_training_and_a_plain_loop_beside_it(root: Path) -> None:
    small = ["--model.compile_backbone=false", "--trainer.precision=32-true", "--trainer.log_every_n_steps=2"]
    result = gpu.measure(str(root), str(root / "run"), 3, 0, *TINY, *small)
    assert result == json.loads((root / "run" / gpu.RESULT).read_text())
    assert [len(result[times]) for times in ("starts", "ends", "plain")] == [3, 3, 3]
    assert result["starts"] == sorted(result["starts"])
    assert result["images"] == 300
    assert 0 <= result["accuracy"] <= 1
    assert "as fast" in gpu.speed_row("what", result).ratio


def test_measures_evaluations_and_a_bare_loop_around_them(root: Path) -> None:
    result = evaluation.measure(str(root), str(root / "run"), *TINY, "--trainer.enable_progress_bar=false")
    assert (len(result["bare"]), len(result["fit"]), result["images"]) == (7, 6, 300)
    assert result["size"] in evaluation.SIZES
    assert "as fast" in evaluation.comparison(result).speed_row("what").ratio


def test_plain_loop_is_plain() -> None:
    model = Classifier(SmallCNN(2), SoftmaxHead, 7, channels_last=True, compile_backbone=True)
    model.trainer = Trainer(accelerator="cpu", logger=False)
    model.setup("fit")
    net = gpu.PlainLoop(model, [(torch.zeros(3, 8, 8), 0)], workers=0).net
    assert all(weight.is_contiguous() for weight in net.parameters())


def test_total_is_told_without_what_only_the_first_epoch_takes() -> None:
    result = {"starts": [0.0, 30.0, 32.0, 34.0], "ends": [29.0, 31.5, 33.5, 35.5], "accuracy": 0.75}
    row = gpu.training_row("what", result)
    # 28 of the first 30 seconds are left out; the last epoch's test does not count.
    assert row.ours.startswith("7.5 s (2.00 s an epoch")
    assert row.ratio == "compilation and warm-up apart: 28.0 s; test accuracy 75.00 %"


def test_without_a_gpu_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (row,) = gpu.rows()
    assert row.what.startswith("no GPU here")
    assert not any(row[1:])
