"""The figures of an evaluation: reliability and coverage."""

import re

import numpy as np

from sbn_lightning.figures import DARK, SureImages, draw_coverage, draw_reliability, svg_of

ODD = "$x^{ <b>"  # neither a formula nor markup


def test_every_color_has_one_for_dark_pages_and_names_are_no_formulas() -> None:
    points = [SureImages(1, 20.0, 0.0, (0.0, 79.0)), SureImages(500, 99.0, 98.0, (96.0, 99.0))]
    curve = (np.array([90.0, 50.0, 0.0]), np.array([0.0, 1.0, 5.0]), np.array([99.0, 80.0, 30.0]))
    for figure in (
        draw_reliability({ODD: points, "after": points[:1]}, ODD),
        draw_coverage({ODD: curve, "other": curve}, ODD),
    ):
        assert set(re.findall("#[0-9a-f]{6}", svg_of(figure))) <= set(DARK)


def test_a_network_without_errors_or_with_one_image_can_be_drawn() -> None:
    one = tuple(np.array([value]) for value in (0.0, 0.0, 100.0))
    svg_of(draw_coverage({"": one}, ""))
    svg_of(draw_reliability({"": [SureImages(1, 100.0, 100.0, (20.0, 100.0))]}, ""))
