"""Splits by name."""

import unicodedata

import numpy as np
import pytest

from sbn_lightning.data.splits import hash_split

LABELS = ["a"] * 30 + ["b"] * 8
NAMES = [f"{label}/{number}.jpg" for number, label in enumerate(LABELS)]


@pytest.mark.parametrize(("fraction", "expected"), [(0.1, [3, 1]), (0.25, [8, 2]), (0.001, [1, 1])])
def test_every_class_gives_its_share_rounded_and_at_least_one(fraction: float, expected: list[int]) -> None:
    chosen = hash_split(LABELS, NAMES, fraction)
    assert [int(chosen[np.array(LABELS) == label].sum()) for label in "ab"] == expected


def test_order_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(NAMES))
    shuffled = hash_split([LABELS[i] for i in order], [NAMES[i] for i in order], 0.2)
    np.testing.assert_array_equal(shuffled, hash_split(LABELS, NAMES, 0.2)[order])


def test_larger_share_holds_the_smaller_one() -> None:
    assert not (hash_split(LABELS, NAMES, 0.1) & ~hash_split(LABELS, NAMES, 0.3)).any()


def test_both_ways_of_writing_an_accent_are_one_name() -> None:
    names = [f"José {number}" for number in range(20)]
    composed, decomposed = (
        hash_split(["a"] * 20, [unicodedata.normalize(form, name) for name in names], 0.3) for form in ("NFC", "NFD")
    )
    np.testing.assert_array_equal(composed, decomposed)


def test_groups_stay_whole_even_across_classes() -> None:
    groups = [f"patient {number % 7}" for number in range(len(LABELS))]
    chosen = hash_split(LABELS, groups, 0.2)
    assert len(set(zip(groups, chosen.tolist(), strict=True))) == 7
    assert 0 < chosen.sum() < len(LABELS)
