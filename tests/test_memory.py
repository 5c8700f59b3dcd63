"""Batches that do not fit into memory are evaluated in parts, and nobody else notices; what an epoch keeps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from opened_data import quiet_trainer
from own_classes import PlainCNN
from torch import Tensor

from sbn_lightning import Classifier, Digits, PEDCCHead
from sbn_lightning.callbacks import LogitHistogram
from sbn_lightning.memory import Halving
from tests.benchmarks.growth import bytes_of_an_epoch


class SmallMemory(PlainCNN):
    """Has room for a number of images only; keeps how many it was given each time.

    Args:
        room: Images that fit.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.tried: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.tried.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(images)} MiB.")
        return super().forward(images)


class Outputs(Callback):
    """Keeps the logits of each batch."""

    def __init__(self) -> None:
        self.logits: list[Tensor] = []

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *batch: Any) -> None:
        self.logits.append(outputs["logits"])


def classifier(room: int) -> Classifier:
    torch.manual_seed(0)
    # Its loss is not the mean of its parts' losses.
    return Classifier(SmallMemory(room), lambda d, c: PEDCCHead(d, c, embedding_dim=9, root=2.0), 10)


def evaluated(model: Classifier, data: Digits) -> tuple[dict[str, float], list[Tensor]]:
    """What the second test of a model gives: the measures, and the logits of each batch."""
    outputs = Outputs()
    trainer = quiet_trainer(callbacks=[outputs])
    for _ in range(2):
        outputs.logits.clear()
        (measured,) = trainer.test(model, data, verbose=False)
    return measured, outputs.logits


def test_batch_that_does_not_fit_is_halved_once_and_counted_once(digits_root: Path) -> None:
    data = Digits(root=str(digits_root), evaluation_batch_size=150)  # 360 images: 150, 150 and 60
    expected, whole = evaluated(classifier(1000), data)
    model = classifier(40)
    with pytest.warns(
        UserWarning, match="150 images do not fit into .* cpu at once; .* evaluated 38 at a time"
    ) as said:
        measured, logits = evaluated(model, data)
    assert sum("do not fit" in str(warning.message) for warning in said) == 1
    each_test = [38, 38, 38, 36] * 2 + [38, 22]
    assert model.backbone.tried == [150, 75, *each_test, *each_test]
    assert measured == pytest.approx(expected, rel=1e-6)
    assert [len(batch) for batch in logits] == [150, 150, 60]
    torch.testing.assert_close(logits, whole, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The trainer has no TensorBoardLogger")
def test_validation_inside_a_training_is_halved_and_the_training_is_not(digits_root: Path) -> None:
    data = Digits(root=str(digits_root), batch_size=100, evaluation_batch_size=360)
    model = classifier(100)
    model.configure_optimizers = lambda: torch.optim.SGD(model.parameters(), lr=0.01)
    histogram = LogitHistogram()
    with pytest.warns(UserWarning, match="do not fit"):
        quiet_trainer(max_epochs=1, limit_train_batches=2, callbacks=[histogram]).fit(model, data)
    assert model.backbone.tried == [100, 100, 360, 180, 90, 90, 90, 90]
    assert histogram._counts.sum(1).tolist() == [3600, 360]

    model.backbone.room = 50
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate 100"):
        quiet_trainer(max_epochs=1).fit(model, data)


def test_one_image_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Halving()(SmallMemory(0), torch.zeros(5, 3, 8, 8))


def test_an_epochs_metrics_and_histograms_take_the_same_memory_for_any_number_of_images() -> None:
    assert bytes_of_an_epoch(100) == bytes_of_an_epoch(300) < 5e6
