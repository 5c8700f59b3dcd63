"""Two networks beside each other on the same images."""

import numpy as np
from made_up_answers import file_names, made_up

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.comparison import compare


def test_images_are_counted_by_who_has_them_right_and_those_that_differ_most_are_first() -> None:
    first, second = made_up(400, 8), made_up(400, 8, seed=1)
    found = compare(first, second, file_names(first))
    assert found.both + found.only_first == first.correct
    assert found.both + found.only_second == second.correct
    assert found.both + found.only_first + found.only_second + found.neither == 400
    gaps = [abs(one.probability_of_label[0] - one.probability_of_label[1]) for one in found.differing]
    assert gaps == sorted(gaps, reverse=True)
    assert all((one.predicted[0] == one.label) != (one.predicted[1] == one.label) for one in found.differing)


def test_classes_may_be_in_another_order() -> None:
    first, second = made_up(400, 8), made_up(400, 8, seed=1)
    order = np.random.default_rng(0).permutation(8)
    names = [second.class_names[label] for label in order]
    other = Answers(second.logits[:, order], np.argsort(order)[second.labels], names)
    found, expected = (compare(first, one, file_names(first)) for one in (other, second))
    assert (found.both, found.only_first, found.only_second) == (
        expected.both,
        expected.only_first,
        expected.only_second,
    )
    assert [(one.row, one.predicted) for one in found.differing] == [
        (one.row, one.predicted) for one in expected.differing
    ]
