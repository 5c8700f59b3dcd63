"""The pictures of a training batch, of confused classes and of mistakes, in a training of the digits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sbn_lightning import Digits
from sbn_lightning.cli.commands import main
from sbn_lightning.run.arrays import read_test_arrays

CALLBACKS = "sbn_lightning.callbacks"


class Drawn:
    """The arguments of the figures that a training draws."""

    def __init__(self) -> None:
        self.of: dict[str, list[Any]] = {}

    def recorded(self, name: str, draw: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: self.of.setdefault(name, []).append(arguments) or draw(*arguments)


@pytest.fixture(scope="module")
def drawn_and_run(train_digits: Callable[..., Path]) -> Any:
    from sbn_lightning.figures import draw_confusion, draw_images

    drawn = Drawn()
    with pytest.MonkeyPatch.context() as patch:
        for module, name, draw in (
            ("training_batch", "draw_images", draw_images),
            ("confident_mistakes", "draw_images", draw_images),
            ("confusion_matrix", "draw_confusion", draw_confusion),
        ):
            patch.setattr(f"{CALLBACKS}.{module}.{name}", drawn.recorded(module, draw))
        run = train_digits("--trainer.num_sanity_val_steps=2")
    return drawn.of, run


@pytest.fixture(scope="module")
def tested(drawn_and_run: Any, digits_root: Path) -> Any:
    """The logits and labels of the test of the same weights."""
    _, run = drawn_and_run
    main(["test", "--config", str(run), "--data.root", str(digits_root), "--trainer.enable_progress_bar=false"])
    logits, labels, predictions = read_test_arrays(run, "logits", "labels", "predictions")
    return torch.tensor(logits.astype(np.float32)), labels, predictions


def test_training_batch_is_the_first_one_augmented_and_in_pixels(drawn_and_run: Any, digits_root: Path) -> None:
    ((images, captions, _, subtitle),) = drawn_and_run[0]["training_batch"]
    data = Digits(root=str(digits_root))
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert images.tolist() == data.augmentation(batch.images, batch.draws)[:20].tolist()
    assert captions == [str(label) for label in batch.labels[:20].tolist()]
    assert subtitle == "20 of 128 images; augmentation: crop 1"


def test_training_batch_does_not_change_the_training(drawn_and_run: Any, train_digits: Callable[..., Path]) -> None:
    without = train_digits("--trainer.callbacks=LearningRateMonitor")
    files = [run / "checkpoints/last.ckpt" for run in (drawn_and_run[1], without)]
    weights = [torch.load(file, weights_only=True)["state_dict"] for file in files]
    torch.testing.assert_close(*weights, rtol=0, atol=0)


def test_confusion_is_that_of_the_end_of_the_training(drawn_and_run: Any, tested: Any) -> None:
    ((labels, predicted, names, title, subtitle),) = drawn_and_run[0]["confusion_matrix"]
    _, expected_labels, expected = tested
    assert (labels.tolist(), predicted.tolist()) == (expected_labels.tolist(), expected.tolist())
    assert names == [str(digit) for digit in range(10)]
    assert title == "SBN, scale 3, end of training"
    assert subtitle == f"{(labels == predicted).sum()} of 360 right, test set"


def test_mistakes_are_the_most_confident_ones_with_their_images(
    drawn_and_run: Any, tested: Any, digits_root: Path
) -> None:
    ((images, captions, _, subtitle),) = drawn_and_run[0]["confident_mistakes"]
    logits, labels, predicted = tested
    probability = logits.softmax(1).amax(1).numpy()
    wrong = np.flatnonzero(labels != predicted)
    most = wrong[np.argsort(-probability[wrong], kind="stable")][:20]
    assert len(wrong) > 20
    expected = [f"{labels[i]}\n→ {predicted[i]}\n" for i in most]
    assert [caption[: caption.rindex("\n") + 1] for caption in captions] == expected
    shares = [float(caption.split("\n")[2]) for caption in captions]
    assert shares == pytest.approx(probability[most].tolist(), abs=0.0006)  # shown with three digits
    assert subtitle == f"20 of {len(wrong)} mistakes, test set: label → prediction"
    data = Digits(root=str(digits_root))
    data.prepare_data()
    data.setup("fit")
    stored = [batch.images for batch in data.test_dataloader()]
    assert images.tolist() == torch.cat(stored)[most].tolist()
