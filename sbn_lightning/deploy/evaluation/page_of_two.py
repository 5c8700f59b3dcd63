"""The page on two networks' answers to the same images: what differs first."""

import itertools
from collections.abc import Sequence

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.gallery import LONGEST_NAME, data_uri, file_line
from sbn_lightning.deploy.evaluation.judgement import Compared, Differing, Evaluation, Judged
from sbn_lightning.deploy.evaluation.page import (
    Pixels,
    belief,
    confusions,
    for_a_person,
    origin,
    pictures,
    remarks,
    summary,
)
from sbn_lightning.deploy.evaluation.tables import class_differences, class_table, measure_table
from sbn_lightning.errors import counted
from sbn_lightning.figures.style import shortened
from sbn_lightning.report.render import Block, Bullets, Fold, Gallery, Photo, Table, Text
from sbn_lightning.terminal import NO_BREAK

LEVEL = 0.05
"""p below which a difference is said to be more than chance."""


def page_of_two(evaluation: Evaluation, answers: Sequence[Answers], pixels: Pixels) -> list[Block]:
    """Everything about two networks.

    Args:
        evaluation: The numbers, with a comparison.
        answers: What they are of, of each network.
        pixels: Gives the images.
    """
    compared, networks = evaluation.comparison, evaluation.networks
    if compared is None:
        raise ValueError("an evaluation of two networks has a comparison")
    names = [judged.network.name for judged in networks]
    return [
        Text("title", f"{names[0]} and {names[1]} on {evaluation.data.name}"),
        Text("lead", comparison_sentence(networks, compared)),
        Bullets([(f"{judged.network.name}:", summary(judged)) for judged in networks]),
        *remarks(evaluation),
        Text("section", "Where they differ"),
        who_is_right(names, compared),
        *differing_images(names, compared, pixels),
        class_differences(networks),
        Text("section", "Measures"),
        measure_table(networks),
        Text("section", "Can their probabilities be believed?"),
        *belief(networks),
        Text("section", "If a person takes the unsure images"),
        *for_a_person(networks),
        Text("section", "Each network by itself"),
        *(Fold(judged.network.name, alone(judged, own, pixels)) for judged, own in zip(networks, answers, strict=True)),
        *origin(evaluation),
    ]


def comparison_sentence(networks: Sequence[Judged], compared: Compared) -> str:
    """Which of two networks has more images right, and whether chance may have done that."""
    first, second = (judged.network.name for judged in networks)
    ahead, behind, more, fewer = (
        (first, second, compared.only_first, compared.only_second)
        if compared.only_first >= compared.only_second
        else (second, first, compared.only_second, compared.only_first)
    )
    images = counted(networks[0].images, "image")
    p = f"p {f'= {compared.p:.2g}' if compared.p >= 0.0001 else '< 0.0001'} by McNemar's exact test"
    alone = f"{ahead} alone has {more:,} right, and {behind} alone {fewer:,}"
    if more + fewer == 0:
        return f"Both networks have the same of {images} right."
    if compared.p >= LEVEL:
        return f"Of the same {images}, {alone}: chance may well give such a difference ({p})."
    points = 100 * (more - fewer) / networks[0].images
    better = f"{ahead} is better by {points:.2g} points"
    return f"{better}: of the same {images}, {alone}; chance alone hardly gives that ({p})."


def who_is_right(names: Sequence[str], compared: Compared) -> Table:
    """The four counts of images."""
    rows = [
        ["Both", f"{compared.both:,}"],
        [f"Only {names[0]}", f"{compared.only_first:,}"],
        [f"Only {names[1]}", f"{compared.only_second:,}"],
        ["Neither", f"{compared.neither:,}"],
    ]
    note = "McNemar's test compares these two networks, and not two ways to train: another seed gives another network."
    return Table("Who is right, in images", ["", "Images"], rows, [note])


def differing_images(names: Sequence[str], compared: Compared, pixels: Pixels) -> list[Block]:
    """Pictures of the images on which the networks differ most."""
    shown = compared.differing
    if not shown:
        return []
    images = pixels([one.row for one in shown])
    photos = [Photo(data_uri(image), lines_of(names, one)) for one, image in zip(shown, images, strict=True)]
    total = compared.only_first + compared.only_second
    text = (
        f"Of {counted(total, 'image')} that exactly one network has right, the {len(shown)} on which their "
        "probabilities of the label differ most."
    )
    return [Text("subsection", "Images on which they differ most"), Text("paragraph", text), Gallery(photos)]


def lines_of(names: Sequence[str], one: Differing) -> list[str]:
    """The lines below a picture: the label, and each network's answer with its probability of the label."""
    label, *taken = shortened([one.label, *one.predicted], LONGEST_NAME)
    answers = zip(shortened(different_ends(names), LONGEST_NAME), taken, one.probability_of_label, strict=True)
    own = [f"{name}: {answer} (label {100 * probability:.0f}{NO_BREAK}%)" for name, answer, probability in answers]
    return [file_line(one.image), label, *own]


def different_ends(names: Sequence[str]) -> list[str]:
    """Return names without the words that all of them begin with: softmax and sbn of birds_softmax and birds_sbn."""
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    start = max((number for number, (letter, *_) in enumerate(alike, 1) if not letter.isalnum()), default=0)
    return [name[start:] or name for name in names]


def alone(judged: Judged, answers: Answers, pixels: Pixels) -> list[Block]:
    """What only concerns one network."""
    return [*confusions(judged, answers), class_table(judged), *pictures(judged, pixels)]
