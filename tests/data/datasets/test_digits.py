"""The digits that scikit-learn ships."""

from pathlib import Path

import numpy as np
import pytest
import torch
from opened_data import ready, split
from sklearn.datasets import load_digits

from sbn_lightning.data import Digits
from sbn_lightning.data.store import open_store


@pytest.fixture
def digits(tmp_path: Path) -> Digits:
    return ready(Digits(root=str(tmp_path)))


def test_ten_classes_are_named_by_their_digit_and_a_fifth_of_each_is_for_testing(digits: Digits) -> None:
    assert digits.class_names == list("0123456789")
    assert digits.num_images == {"train": 1437, "test": 360}
    assert digits.image_shape == (3, 8, 8)
    everything, test = np.bincount(load_digits().target), torch.bincount(split(digits, "test")[1]).numpy()
    assert np.abs(test - everything / 5).max() < 1
    assert (test + digits.class_counts.numpy()).tolist() == everything.tolist()


def test_every_digit_of_scikit_learn_is_there_with_its_label(digits: Digits) -> None:
    store = open_store(digits.store)
    assert torch.equal(store.images[:, :1].expand(-1, 3, -1, -1), store.images)
    # 16 gray levels become 255: round(16 · value / 255) gives the original back.
    assert np.array_equal((store.images[:, 0] * (16 / 255)).round(), load_digits().images)
    assert (store.images.min(), store.images.max()) == (0, 255)
    assert np.array_equal(store.labels, load_digits().target)
    assert sorted(torch.cat(list(store.splits.values())).tolist()) == list(range(1797))


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
