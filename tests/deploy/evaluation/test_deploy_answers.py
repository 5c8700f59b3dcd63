"""A network's measures, from its logits and the labels."""

import numpy as np
import pytest

from sbn_lightning.deploy.evaluation.answers import Answers, check_finite
from sbn_lightning.errors import UsageError

LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]))
ANSWERS = Answers(LOGITS, np.array([0, 1, 1, 2]), ["a", "b", "c"])


def test_answers_say_what_is_right_and_how_sure() -> None:
    assert ANSWERS.predicted.tolist() == [0, 0, 1, 2]
    assert ANSWERS.right.tolist() == [True, False, True, True]
    assert (ANSWERS.correct, ANSWERS.images) == (3, 4)
    np.testing.assert_allclose(ANSWERS.confidence, [0.7, 0.6, 0.8, 0.4])
    np.testing.assert_allclose(ANSWERS.of_label, [0.7, 0.3, 0.8, 0.4])


def test_measures_are_those_of_sbn_test() -> None:
    measures = ANSWERS.measures()
    assert measures["accuracy"] == 0.75
    assert measures["balanced_accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert measures["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert measures["top5_accuracy"] == 1
    assert measures["loss"] == measures["nll"] == pytest.approx(-np.log([0.7, 0.3, 0.8, 0.4]).mean())


def test_the_heads_own_loss_takes_the_place_of_the_cross_entropy() -> None:
    measures = Answers(LOGITS, ANSWERS.labels, ANSWERS.class_names, loss=7.0).measures()
    assert measures["loss"] == 7.0
    assert measures["nll"] < 1


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused_with_the_image_that_shows_it(broken: float) -> None:
    logits = LOGITS.copy()
    logits[2, 1] = broken
    with pytest.raises(UsageError, match=r"last.ckpt answers NaN or infinity to 1 image of 4 \(the first is c.jpg\)"):
        check_finite(logits, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], "last.ckpt")
    check_finite(LOGITS, ["a.jpg"] * 4, "last.ckpt")
