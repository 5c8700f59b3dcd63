"""Pictures as TensorBoard shows them: what two of them have in common, and what is named in them."""

import numpy as np
import pytest

from sbn_lightning.figures import (
    Histogram,
    draw_confusion,
    draw_images,
    draw_logits_of_one_run,
    draw_norms_of_one_run,
    pixels,
)

EDGES = np.linspace(-20, 40, 601)


def normal(mean: float, scale: float) -> Histogram:
    values = np.random.default_rng(0).normal(mean, scale, 10_000)
    return Histogram(EDGES, np.histogram(values.clip(-20, 39.99), EDGES)[0])


def ends(figure):
    return [(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_two_heads_have_the_same_axes() -> None:
    one, other = (normal(-1, 3), normal(9, 4)), (normal(0, 0.3), normal(6, 2))
    assert ends(draw_logits_of_one_run(one, 100, "")) == ends(draw_logits_of_one_run(other, 100, ""))
    one, other = (np.full(9, 2.1), np.full(9, 2.1)), (np.full(9, 0.7), np.full(9, 65.0))
    names = list("abcdefghi")
    assert ends(draw_norms_of_one_run(one, names, "")) == ends(draw_norms_of_one_run(other, names, ""))


def test_axis_of_logits_is_longer_for_more_classes_and_says_what_lies_beyond_it() -> None:
    (ten, _), _ = ends(draw_logits_of_one_run((normal(0, 1), normal(5, 1)), 10, ""))
    assert ten == pytest.approx((-10.2, 20.4), abs=0.1)
    figure = draw_logits_of_one_run((normal(0, 1), normal(20.37, 1)), 10, "")
    assert figure.axes[0].get_title(loc="left") == "All logits"
    title = figure.axes[1].get_title(loc="left")
    assert float(title.removeprefix("Logit of the true class (").split()[0]) == pytest.approx(50, abs=3)


def test_axes_of_norms_grow_where_a_norm_does_not_fit_in_and_a_diverged_run_has_the_common_ones() -> None:
    (_, trained), (_, used) = ends(draw_norms_of_one_run((np.full(2, 4.0), np.full(2, 0.04)), ["a", "b"], ""))
    assert (trained, used) == ((0, 10), (0.005, 100))
    nothing = np.full(2, np.nan)
    (_, trained), (_, used) = ends(draw_norms_of_one_run((nothing, nothing), ["a", "b"], ""))
    assert (trained, used) == ((0, 3), (0.5, 100))


def test_short_names_of_ten_classes_stand_upright() -> None:
    norms = np.ones(10), np.ones(10)
    for names, angle in ([str(digit) for digit in range(10)], 0), (["aquarium_fish"] * 10, 40):
        (label, *_) = draw_norms_of_one_run(norms, names, "").axes[1].get_xticklabels()
        assert label.get_rotation() == angle


def test_many_bars_make_a_wider_picture() -> None:
    norms = np.ones(100), np.ones(100)
    widths = [pixels(draw_norms_of_one_run(norms, ["name"] * bars, "")).shape[1] for bars in (10, 100)]
    assert widths == [700, 4070]


def test_confusion_matrix_of_few_classes_has_the_count_of_each_pair() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 0])
    figure = draw_confusion(labels, predicted, ["cat", "dog", "bee"], "", "")
    counts = {text.get_position(): text.get_text() for text in figure.axes[0].texts}  # (prediction, label)
    assert counts == {(0, 0): "2", (1, 0): "1", (1, 1): "1", (2, 2): "1", (0, 2): "1"}


@pytest.mark.parametrize("classes", [100, 200])
def test_of_many_classes_the_pairs_most_often_confused_are_named(classes: int) -> None:
    labels = np.repeat(np.arange(classes), 5)
    predicted = labels.copy()
    predicted[:3], predicted[10:12] = 7, 1  # 3 of 5 of class 0 are taken for 7, 2 of 5 of class 2 for 1
    names = [f"class{number}" for number in range(classes)]
    figure = draw_confusion(labels, predicted, names, "", "")
    assert texts(figure) == ["class0 → class7", "3 of 5", "class2 → class1", "2 of 5"]


def test_without_a_mistake_there_is_no_pair() -> None:
    labels = np.arange(100)
    figure = draw_confusion(labels, labels, [str(label) for label in labels], "", "")
    assert texts(figure) == []
    assert pixels(figure).shape[1] == 700


def test_images_have_their_captions_cut_to_the_width_of_an_image() -> None:
    images = np.zeros((6, 3, 8, 4), np.uint8)
    figure = draw_images(images, ["cat\n→ $a dog with a long name"] * 6, "title", "subtitle")
    assert texts(figure) == ["cat\n→ $a dog with…"] * 6
    assert pixels(figure).shape[1] == 700
