"""The colors of figures, and the files that they become."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sbn_lightning.figures import COLORS, DARK, Interval, draw_forest, draw_images, pixels, save_figure, style
from sbn_lightning.figures.style import DASHES, MARKERS

Floats = NDArray[np.float64]

# How linear RGB looks without one of the three kinds of cones. Source: Machado et al. 2009, severity 1.
VISION = {
    "full": np.eye(3),
    "without red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "without green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "without blue": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color: str) -> Floats:
    """Linear RGB of #rrggbb, each in [0, 1]."""
    values = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: Floats) -> Floats:
    """CIE L*a*b* of linear RGB, in which distances are about as large as they look."""
    t = XYZ @ rgb.clip(0, 1) / XYZ.sum(1)
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    """The ratio of the two luminances, as WCAG 2 defines it."""
    low, high = sorted(float(XYZ[1] @ linear(color)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("is_dark", [False, True])
def test_any_two_colors_look_different_with_any_color_vision(vision: str, is_dark: bool) -> None:
    colors = [DARK[color] if is_dark else color for color in COLORS]
    seen = [lab(VISION[vision] @ linear(color)) for color in colors]
    distances = [np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)]
    assert min(distances) > 12  # 2.3 is just noticeable where two areas touch


@pytest.mark.parametrize("color", COLORS)
def test_colors_are_visible_on_both_backgrounds(color: str) -> None:
    assert contrast(color, "#ffffff") > 2.2
    assert contrast(DARK[color], DARK["#ffffff"]) > 3


def test_every_color_has_a_marker_and_dashes_of_its_own() -> None:
    assert len(COLORS) == len(set(MARKERS)) == len(set(DASHES)) == 8


def test_a_figure_has_a_variant_for_dark_backgrounds_and_one_for_print(tmp_path: Path) -> None:
    row = Interval("SBN", "better", 70.5, [70.0, 71.0], (69.0, 72.0), (68.0, 73.0), 70.0, COLORS[1])
    svg = save_figure(draw_forest([row], 0.5, "accuracy", "made up"), tmp_path, "forest")
    assert svg == (tmp_path / "forest.svg").read_text()
    dark = (tmp_path / "forest_dark.svg").read_text()
    colors = set(re.findall("#[0-9a-f]{6}", svg))
    assert colors <= set(DARK)  # none is left as it is
    assert {DARK[color] for color in colors} == set(re.findall("#[0-9a-f]{6}", dark))
    assert 'style="fill: #000000"' in svg  # letters, too, have a color that can be replaced
    assert b"/FontFile" not in (tmp_path / "forest.pdf").read_bytes()  # some publishers refuse embedded Type 3 fonts


def test_letters_that_matplotlibs_font_lacks_are_drawn_by_an_installed_font(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> None:
        pixels(draw_images(np.zeros((1, 3, 8, 8), np.uint8), ["猫"], "title", "subtitle"))

    monkeypatch.setattr(style, "FALLBACKS", ("a font that is not installed",))
    with pytest.warns(UserWarning, match="Glyph 29483"):
        drawn()
    monkeypatch.setattr(style, "FALLBACKS", ("a font that is not installed", "Last Resort High-Efficiency"))
    drawn()  # and warns of nothing, which would be an error
