"""What the page of `sbn evaluate` says and holds."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from made_up_answers import evaluation, made_up, pixels

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.gallery import data_uri, file_line
from sbn_lightning.deploy.evaluation.matrix import matrix_block, neighbors
from sbn_lightning.deploy.evaluation.page import page_of_one
from sbn_lightning.deploy.evaluation.page_of_two import different_ends, page_of_two
from sbn_lightning.report.render import Block, CountImage, Counts, Gallery, Table, flat, rendered


def blocks_of(*all_answers: Answers, remarks: Sequence[str] = ()) -> list[Block]:
    numbers = evaluation(*all_answers, remarks=remarks)
    return (
        page_of_two(numbers, all_answers, pixels)
        if len(all_answers) > 1
        else page_of_one(numbers, all_answers[0], pixels)
    )


def page_of(*all_answers: Answers, remarks: Sequence[str] = ()) -> str:
    return rendered(blocks_of(*all_answers, remarks=remarks), "html")


def text_of(page: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", page).replace("\u00a0", " ").split())


def right_or_wrong(is_right: bool, images: int = 30) -> Answers:
    labels = np.arange(images) % 3
    return Answers(5 * np.eye(3)[labels if is_right else (labels + 1) % 3], labels, list("abc"))


def test_first_screen_gives_the_verdict() -> None:
    title, lead, warning, *_ = blocks_of(made_up(1000, 10), remarks=["3 files could not be read."])
    assert title.text == "run0 on made-up images"
    assert lead.kind == "lead"
    assert re.match(r"It has 787 of 1,000 images right: 78\.7 % \(95 %: 76\.1 to 81\.1 %\)\. It takes class", lead.text)
    assert "Its probabilities" in lead.text
    assert (warning.kind, warning.text) == ("warning", "3 files could not be read.")


def test_page_needs_no_other_file() -> None:
    page = page_of(made_up(300, 30))
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert not re.search(r"https?://(?!www\.w3\.org)", page)  # matplotlib names the XML of its figures


@pytest.mark.parametrize("is_right", [True, False])
def test_all_right_and_all_wrong_have_a_page(is_right: bool) -> None:
    text = text_of(page_of(right_or_wrong(is_right)))
    assert ("No image is taken for another class." in text) == is_right
    assert ("Most confident mistakes" in text) != is_right
    assert ("Least confident right answers" in text) == is_right
    assert "No temperature is the best one" in text


def test_one_image_and_two_classes_have_a_page() -> None:
    text = text_of(page_of(Answers(np.array([[1.0, 0.0]]), np.array([1]), ["a", "b"])))
    assert "It has 0 of 1 image right: 0 %" in text
    assert "Top-5" not in text
    assert "Without an image here: a." in text


def test_top5_is_said_where_there_are_more_than_five_classes() -> None:
    assert "Top-5 accuracy" in text_of(page_of(made_up(100, 6)))


def test_names_stay_text_and_are_cut() -> None:
    odd = ["<b>bold</b>", "\"quoted\" & 'more'", "x" * 200, "<script>alert(1)</script>", *"efghijklmnopqrstuvwxyz"]
    for count in (5, len(odd)):  # with numbers and with an image
        blocks = blocks_of(made_up(500, count, names=odd[:count]), made_up(500, count, 1, odd[:count]))
        page = rendered(blocks, "html")
        assert not re.search("<b>bold|<script>alert", page)
        assert "&lt;b&gt;bold" in page
        cells = [cell for block in flat(blocks) if isinstance(block, Table) for row in block.rows for cell in row]
        photos = [photo for block in flat(blocks) if isinstance(block, Gallery) for photo in block.photos]
        assert max(map(len, cells)) <= 2 * 48 + 5
        assert max(len(line) for photo in photos for line in photo.lines[1:]) <= 60


@pytest.mark.parametrize("classes", [2, 10, 25, 26, 361])
def test_matrix_holds_every_image_once(classes: int) -> None:
    block = matrix_block(made_up(2000, classes), "Matrix")
    assert isinstance(block, Counts if classes <= 25 else CountImage)
    if isinstance(block, Counts):
        assert sum(map(sum, block.rows)) == 2000
    else:
        assert sum(number for _, _, number in block.cells) == sum(block.images) == 2000
        assert sorted(block.names) == sorted(f"class {number}" for number in range(classes))


def test_classes_that_are_confused_are_neighbors() -> None:
    counts = 50 * np.eye(40, dtype=np.int64)
    for one in range(20):
        counts[one, one + 20] = 30  # half of the classes are taken for one of the others
    place = np.argsort(neighbors(counts))
    assert (abs(place[:20] - place[20:]) == 1).all()


def test_pictures_are_small_and_tiny_ones_are_exact() -> None:
    assert data_uri(np.zeros((3, 8, 8), np.uint8)).startswith("data:image/png;base64,")
    noise = np.random.default_rng(0).integers(0, 256, (3, 500, 300)).astype(np.uint8)
    assert data_uri(noise).startswith("data:image/jpeg;base64,")
    assert len(data_uri(noise)) < 15_000


def test_two_networks_are_compared_before_anything_else() -> None:
    weak = made_up(2000, 10)
    strong = Answers(weak.logits + 1.5 * np.eye(10)[weak.labels], weak.labels, weak.class_names)
    title, lead, *_ = blocks_of(weak, strong)
    assert title.text == "run0 and run1 on made-up images"
    gained = strong.correct - weak.correct  # what is right stays right
    assert lead.text == (
        f"run1 is better by {100 * gained / 2000:.2g} points: of the same 2,000 images, run1 alone has {gained} right, "
        "and run0 alone 0; chance alone hardly gives that (p < 0.0001 by McNemar's exact test)."
    )
    text = text_of(page_of(weak, strong))
    assert "Images on which they differ most" in text
    assert text.index("Where they differ") < text.index("Measures") < text.index("Each network by itself")


def test_a_difference_that_chance_may_give_is_called_so() -> None:
    _, lead, *_ = blocks_of(made_up(1000, 10), made_up(1000, 10, 1))
    assert lead.text == (
        "Of the same 1,000 images, run0 alone has 169 right, and run1 alone 166: chance may well give such a "
        "difference (p = 0.91 by McNemar's exact test)."
    )


def test_pictures_of_two_networks_tell_which_file_it_is_and_what_each_answered() -> None:
    blocks = blocks_of(made_up(500, 5), made_up(500, 5, 1))
    photo = next(block for block in flat(blocks) if isinstance(block, Gallery)).photos[0]
    assert photo.lines[2].startswith("run0: class ")
    assert different_ends(["birds_softmax_small", "birds_sbn_small"]) == ["softmax_small", "sbn_small"]
    assert different_ends(["run", "run_2"]) == ["run", "run_2"]
    assert different_ends(["run_", "run_2"]) == ["run_", "2"]
    assert file_line("birds/a b/1.jpg") == "birds/a b/1.jpg"
    assert file_line(f"{'long/' * 20}IMG 0012.jpg").endswith("long/IMG 0012.jpg")
    assert len(file_line("x" * 100)) == 36
