"""How right a network is if the images that it is least sure of are left to a person."""

import numpy as np
import pytest
from made_up_answers import made_up

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.coverage import coverage_of


def answers_with(confidence: list[float], right: list[int]) -> Answers:
    """Two classes: the first is the label of all images."""
    sure = np.array(confidence)
    own = np.where(right, sure, 1 - sure)
    return Answers(np.log(np.stack([own, 1 - own], 1)), np.zeros(len(sure), np.int64), ["a", "b"])


def test_area_is_the_mean_risk_over_all_coverages() -> None:
    found = coverage_of(answers_with([0.9, 0.6, 0.8, 0.7], [1, 0, 0, 1]))
    assert found.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)  # from the surest image on
    assert found.best_area == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert found.worst_area == 0.5
    assert [(point.coverage, point.risk) for point in found.points] == [(0.25, 0), (0.5, 0.5), (0.75, 1 / 3), (1, 0.5)]


@pytest.mark.parametrize("right", [[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]])
def test_images_of_equal_confidence_count_alike_whatever_their_order(right: list[int]) -> None:
    found = coverage_of(answers_with([0.7] * 4, right))
    assert found.area == found.worst_area == 0.5


def test_table_leaves_the_least_sure_images_to_a_person() -> None:
    answers = made_up(1000, 10)
    found = coverage_of(answers)
    assert [(left.to_person, left.answered) for left in found.left] == [
        (0, 1000), (50, 950), (100, 900), (200, 800), (500, 500)
    ]  # fmt: skip
    surest = np.argsort(-answers.confidence)[:500]
    assert found.left[-1].correct == answers.right[surest].sum()
    assert found.left[-1].probability == answers.confidence[surest].min()
    assert found.left[0].correct == answers.correct
    assert found.best_area < found.area < found.worst_area


def test_a_single_image_cannot_be_left_in_part() -> None:
    found = coverage_of(answers_with([0.7], [1]))
    assert [left.to_person for left in found.left] == [0]
    assert (found.area, found.best_area) == (0, 0)


def test_curve_of_many_images_is_thinned_and_keeps_its_ends() -> None:
    found = coverage_of(made_up(5000, 4))
    assert len(found.points) == 200
    assert found.points[-1].coverage == 1
