"""The page on heads is about every head, and its numbers are those of the heads."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbn_lightning import heads
from sbn_lightning.config_files import shipped_configs
from sbn_lightning.heads import separated_loss
from sbn_lightning.heads.cosine import largest_probability
from sbn_lightning.heads.logit_norm import largest_probability_of_length

PAGE = Path(heads.__file__).parent / "README.md"
ROWS = re.findall(r"^\| \[`(\w+)`\]\((\w+\.py)\) \|.*\| `(\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
FLOORS: dict[str, Callable[[float, int], float]] = {
    "SBN": lambda scale, classes: separated_loss(torch.full((classes,), 1 / classes), scale),
    "cosines": lambda scale, classes: -math.log(largest_probability(scale, classes)),
    "LogitNorm": lambda scale, classes: -math.log(largest_probability_of_length(scale, classes)),
}


def test_every_head_has_a_row() -> None:
    classes = {name for name in heads.__all__ if name.endswith("Head")} - {"Head"}
    assert sorted(name for name, _, _ in ROWS) == sorted(classes)


@pytest.mark.parametrize(("name", "file", "config"), ROWS)
def test_row_names_the_file_of_the_head_and_a_config_that_uses_it(name: str, file: str, config: str) -> None:
    assert f"class {name}(" in (PAGE.parent / file).read_text(encoding="utf-8")
    assert re.search(rf"\b{name}\b", shipped_configs()[config].read_text(encoding="utf-8"))


def test_smallest_losses_are_those_of_the_heads() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| loss (probability) |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\w+), scale ([\d.]+) \|(.*)\|$", table, re.MULTILINE)
    assert {name for name, _, _ in rows} == set(FLOORS)
    for name, scale, cells in rows:
        losses = [FLOORS[name](float(scale), classes) for classes in (10, 100, 1000, 10_000)]
        assert cells.strip() == " | ".join(f"{abs(loss):.4f} ({math.exp(-loss):.3f})" for loss in losses)
