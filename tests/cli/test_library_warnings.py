"""Warnings of libraries: none of them with a path into their code, expected ones not at all."""

import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lightning.pytorch.trainer import setup
from lightning.pytorch.trainer.connectors import accelerator_connector

from sbn_lightning.cli.library_warnings import EXPECTED, IN_OUR_WORDS, show_in_our_words


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings, "formatwarning", warnings.formatwarning)
        yield


def written(*texts: str) -> str:
    return "".join(warnings.formatwarning(UserWarning(text), UserWarning, "site-packages/x.py", 1) for text in texts)


def test_warning_is_shown_once_without_its_place_or_in_our_words() -> None:
    show_in_our_words()
    assert written("one", "two", "one") == "Warning     one\nWarning     two\n"
    glyphs = (f"Glyph {number} (\\N{{CJK UNIFIED IDEOGRAPH}}) missing from font(s) DejaVu Sans." for number in (1, 2))
    assert written(*glyphs).startswith("Warning     figures draw the letters of a name as boxes, since no font here ")


def test_training_on_a_cpu_with_a_precision_for_gpus_is_told_in_our_words(fit_digits: Callable[..., Path]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)
        fit_digits(
            "--trainer.precision", "16-mixed", "--trainer.limit_train_batches", "2",
            "--trainer.callbacks+", "ThroughputMonitor", "--trainer.callbacks.batch_size_fn", "builtins.len",
        )  # fmt: skip
        shown = [warnings.formatwarning(one.message, one.category, one.filename, one.lineno) for one in caught]
    assert shown == ["Warning     precision 16-mixed needs a GPU; on this CPU, bf16-mixed is used instead\n"]


@pytest.mark.parametrize(
    "pattern", ["You passed `deterministic=True` and `benchmark=True`", "GPU available but not used"]
)
def test_lightning_still_says_what_a_pattern_is_made_for(pattern: str) -> None:
    sources = inspect.getsource(setup) + inspect.getsource(accelerator_connector)
    assert pattern in sources
    assert any(re.match(known, pattern) for known in (*EXPECTED, *IN_OUR_WORDS))


def test_each_command_tells_them_in_our_words(answer: Callable[..., str]) -> None:
    answer("report", "runs")
    assert written("Glyph 1 (x) missing from font(s) y.").startswith("Warning     figures draw the letters of a name ")
