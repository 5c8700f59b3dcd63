"""The bar on terminals of any width."""

import io

import pytest
from rich.console import Console

from sbn_lightning.callbacks.bar import SHORTEST, Bar, Field, fitted

FIELDS = (Field(4, "46 s left"), Field(1, "loss 1.9340"), Field(9, ""), Field(2, "1 h 07 min left in all"))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_bar_is_one_line_that_fills_the_terminal_but_its_last_column(width: int) -> None:
    Console(file=(stream := io.StringIO()), width=width, color_system=None).print(Bar("Epoch 12/100", 7, 7, FIELDS))
    (line,) = stream.getvalue().splitlines()
    assert len(line) == width - 1
    assert line.startswith("Epoch 12/100  " + "━" * SHORTEST)


def test_least_important_fields_are_left_out_first() -> None:
    loss, left, epoch = "loss 1.9340", "1 h 07 min left in all", "46 s left"
    assert fitted(FIELDS, 10) == ""
    assert fitted(FIELDS, 11) == loss
    assert fitted(FIELDS, 35) == f"{loss}  {left}"
    assert fitted(FIELDS, 46) == f"{epoch}  {loss}  {left}"
