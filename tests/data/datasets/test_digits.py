"""The digits that scikit-learn ships."""

from pathlib import Path

import numpy as np
import pytest
import torch
from opened_data import ready, split
from sklearn.datasets import load_digits

from sbn_lightning.data import Digits


@pytest.fixture
def digits(tmp_path: Path) -> Digits:
    return ready(Digits(root=str(tmp_path)))


def test_ten_classes_are_named_by_their_digit_and_four_fifths_are_for_training(digits: Digits) -> None:
    assert digits.class_names == list("0123456789")
    assert digits.num_classes == 10
    assert digits.num_images == {"train": 1437, "test": 360}
    assert digits.image_shape == (3, 8, 8)


def test_every_class_is_in_both_parts_with_the_same_share(digits: Digits) -> None:
    everything = np.bincount(load_digits().target)
    test_labels = torch.cat([batch.labels for batch in digits.test_dataloader()])
    test_counts = torch.bincount(test_labels, minlength=10).numpy()
    assert np.abs(test_counts - everything / 5).max() < 1
    assert (test_counts + digits.class_counts.numpy()).tolist() == everything.tolist()


def test_every_digit_of_scikit_learn_is_there_with_its_label(digits: Digits) -> None:
    # 16 gray levels become 255: round(16 · value / 255) gives the original back.
    originals = [
        (tuple(image.astype(int).ravel().tolist()), int(label))
        for image, label in zip(load_digits().images, load_digits().target, strict=True)
    ]
    packed = []
    for loader in (digits.train_dataloader(), digits.test_dataloader()):
        for batch in loader:
            assert torch.equal(batch.images[:, 0], batch.images[:, 1])
            assert torch.equal(batch.images[:, 0], batch.images[:, 2])
            gray = (batch.images[:, 0].flatten(1) * (16 / 255)).round().int().tolist()
            packed += [(tuple(image), label) for image, label in zip(gray, batch.labels.tolist(), strict=True)]
    assert sorted(packed) == sorted(originals)


def test_full_scale_is_used(digits: Digits) -> None:
    images = torch.cat([batch.images for batch in digits.train_dataloader()])
    assert images.min() == 0
    assert images.max() == 255


def test_training_digits_are_moved_but_not_mirrored(digits: Digits) -> None:
    draws = [batch.draws for batch in digits.train_dataloader()]
    assert len(draws) == 12
    for drawn in draws:
        assert drawn is not None
        assert not drawn.flips.any()
        assert drawn.offsets.unique().tolist() == [0, 1, 2]


def test_split_is_always_the_same(tmp_path: Path) -> None:
    packed = []
    for name, seed in (("first", 0), ("second", 1)):
        np.random.seed(seed)  # scikit-learn's splits follow it where they are given no seed
        packed.append(split(ready(Digits(root=str(tmp_path / name), seed=seed)), "test"))
    assert all(torch.equal(*pair) for pair in zip(*packed, strict=True))
