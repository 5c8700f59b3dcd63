"""How well each class is known, and which are taken for each other."""

import numpy as np
from made_up_answers import made_up
from sklearn.metrics import precision_recall_fscore_support

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.classes import Confused, Pair, classes_of, confusion_of, pairs_of


def answers_of(labels: list[int], predicted: list[int], names: str = "abcd") -> Answers:
    return Answers(np.eye(len(names))[predicted], np.array(labels), list(names))


def test_classes_have_the_precision_recall_and_f1_of_scikit_learn() -> None:
    answers = made_up(400, 6)
    precision, recall, f1, images = precision_recall_fscore_support(answers.labels, answers.predicted)
    rows = classes_of(answers)
    np.testing.assert_allclose([(row.precision, row.recall, row.f1, row.images) for row in rows],
                               np.stack([precision, recall, f1, images], 1))  # fmt: skip


def test_a_class_names_its_most_common_mistake() -> None:
    rows = classes_of(answers_of([0, 0, 0, 0, 1], [0, 1, 2, 2, 1]))
    assert (rows[0].mistaken_for, rows[0].mistaken) == ("c", 2)
    assert (rows[1].mistaken_for, rows[1].mistaken) == (None, 0)


def test_a_class_without_images_has_no_recall_and_one_that_is_never_predicted_no_precision() -> None:
    _, b, c, d = classes_of(answers_of([0, 0, 1], [0, 2, 0]))
    assert (b.recall, b.precision, b.f1) == (0, None, 0)
    assert (c.recall, c.interval, c.precision, c.f1) == (None, None, 0, 0)
    assert (d.recall, d.precision, d.f1) == (None, None, None)


def test_pairs_count_both_directions_and_the_most_confused_is_first() -> None:
    answers = answers_of([0, 0, 1, 2, 2, 2, 3], [1, 0, 0, 0, 0, 1, 3])
    assert pairs_of(answers) == [
        Pair("a", "b", 1, 1, 3),
        Pair("c", "a", 2, 0, 5),
        Pair("c", "b", 1, 0, 4),
    ]
    assert confusion_of(answers)[:2] == [Confused("a", "a", 1), Confused("a", "b", 1)]
    assert sum(cell.images for cell in confusion_of(answers)) == 7


def test_nothing_is_confused_where_all_is_right() -> None:
    assert pairs_of(answers_of([0, 1], [0, 1])) == []
