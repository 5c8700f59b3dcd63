"""What an evaluation says that it gave, wrote, and leads to."""

import shutil
from pathlib import Path

import pytest

from sbn_lightning.callbacks.evaluation_text import comparable, evaluation_rows
from sbn_lightning.run.records import Evaluation
from sbn_lightning.terminal import NO_BREAK

DIGITS = Path(__file__).parents[1] / "records/digits/digits/SmallCNN"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with runs of two heads on the digits."""
    for head in ("softmax", "sbn"):
        shutil.copytree(DIGITS / head / "seed0", tmp_path / head)
    return tmp_path


def said(result: Evaluation, name: str, run_dir: Path | None) -> list[tuple[str, str]]:
    return [(name, text.replace(NO_BREAK, " ")) for name, text in evaluation_rows(result, name, run_dir)]


def test_result_says_how_sure_it_is_what_was_written_and_what_comes_next(runs: Path) -> None:
    result = Evaluation("last.ckpt", "test", 50, 29, {"accuracy": 0.58, "loss": 2.0}, available=50)
    assert said(result, "test", runs / "sbn")[2:] == [
        ("Result", "test/accuracy 0.5800 (29 of 50 images; 95 %: 44 to 71 %)"),
        ("", "test/loss 2.0000"),
        ("Written", f"{runs}/sbn/: results.json (as test), test.npz"),
        ("Next", f"sbn report --compare {runs}/softmax {runs}/sbn"),
        ("", f"sbn predict --config {runs}/sbn"),
    ]


def test_validation_leads_to_the_test_and_a_trial_to_nothing(tmp_path: Path) -> None:
    result = Evaluation("best.ckpt", "val", 100, 100, {"accuracy": 1.0}, available=100)
    rows = said(result, "validate_best", tmp_path)
    assert rows[2] == ("Result", "val/accuracy 1.0000 (100 of 100 images; 95 %: 96.3 to 100.0 %)")
    assert rows[-2:] == [
        ("Written", f"{tmp_path}/: results.json (as validate_best)"),
        ("Next", f"sbn test --config {tmp_path}"),
    ]
    assert said(result, "validate_best", None)[-1] == ("Written", "nothing (fast_dev_run)")


def test_a_part_of_the_images_says_that_it_replaces_nothing_and_leads_to_nothing(tmp_path: Path) -> None:
    result = Evaluation("last.ckpt", "test", 128, 64, {"accuracy": 0.5}, available=1360)
    rows = said(result, "test_partial", tmp_path)
    assert rows[2][1].startswith("test/accuracy 0.5000 (64 of 128 images seen, of 1,360; 95 %: 41 to 59 %)")
    assert rows[-1][1].endswith("test_partial.npz; what an evaluation of all images gave is kept")


def test_runs_are_compared_that_are_tested_on_the_same_data_with_another_head(runs: Path) -> None:
    assert comparable(runs / "sbn") == [runs / "softmax"]
    shutil.copytree(runs / "sbn", runs / "sbn_again")
    assert comparable(runs / "sbn") == [runs / "softmax"]
    (runs / "softmax/results.json").write_text("{")  # damaged
    assert comparable(runs / "sbn") == []
