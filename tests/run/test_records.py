import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from sbn_lightning.run.arrays import read_test_arrays
from sbn_lightning.run.facts import DataFacts, TrainingFacts
from sbn_lightning.run.grid_records import Grid
from sbn_lightning.run.records import Attempts, BrokenRecordError, Evaluation, FitResult, Results, read_record

DATA = DataFacts("Digits", {"train": 1437, "test": 360}, classes=10, batch_size=128)
WHOLE = Evaluation("run/checkpoints/last.ckpt", "test", images=360, correct=350, metrics={}, available=360)
PART = replace(WHOLE, images=128, correct=60)
FIT = FitResult(1.0, last_epoch=2, last={}, epochs_done=1.5)
PLANNED = '{"folder": "FOLDER", "dataset": "", "backbone": "", "head": "", "label": "", "settings": {}, "seed": 0}'
TEST = '{"checkpoint": "last.ckpt", "stage": "test", "images": 10, "correct": 9, "metrics": {}}'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", '{"version": 2}', "version"),  # a later layout is not read as if it were this one
        ("results.json", "[]", "Expected `object`"),
        ("results.json", "{", "cannot be read|invalid content"),
        ("results.json", '{"fit": {"seconds": "long"}}', r"\$\.fit"),
        ("grid.json", '{"version": 2, "runs": []}', "version"),
        (
            "grid.json",
            '{"runs": [' + PLANNED.replace("FOLDER", "../elsewhere") + "]}",
            r"grid's folder - at `\$.runs\[0\]",
        ),
        ("grid.json", '{"runs": [' + PLANNED.replace("FOLDER", "x" * 5000) + "]}", "does not lie in the grid's folder"),
        (
            "results.json",
            '{"version": 1, "evaluations": {"test": ' + TEST.replace("9", "11") + "}}",
            "11 of 10 images cannot be",
        ),
        (
            "results.json",
            '{"version": 1, "evaluations": {"test": ' + TEST.replace("10", "0").replace("9", "0") + "}}",
            "0 of 0 images",
        ),
    ],
)
def test_damaged_record_names_the_file_and_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BrokenRecordError, match=f"{name} .*({message})"):
        read_record(tmp_path / name, Grid if name == "grid.json" else Results)


def test_record_without_an_end_is_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "results.json")
    (tmp_path / "run.json").symlink_to("/dev/zero")
    (tmp_path / "test.npz").symlink_to("/dev/zero")
    for name, kind in {"results.json": Results, "run.json": Attempts}.items():
        with pytest.raises(BrokenRecordError, match=f"{name} cannot be read .it is not a regular file"):
            read_record(tmp_path / name, kind)
    with pytest.raises(BrokenRecordError, match=r"test.npz cannot be read: labels: it is not a regular file"):
        read_test_arrays(tmp_path, "labels")


def test_partial_test_is_no_test() -> None:
    both = Results(data=DATA, evaluations={"test": WHOLE, "test_partial": PART})
    assert (both.test, both.partial_test) == (WHOLE, PART)
    assert (PART.is_partial, WHOLE.is_partial) == (True, False)
    of_an_earlier_version = Results(data=DATA, evaluations={"test": replace(PART, available=None)})
    assert of_an_earlier_version.test is None
    assert of_an_earlier_version.partial_test is not None


def test_training_that_a_limit_has_ended_is_trained() -> None:
    training = TrainingFacts(seed=0, epochs=3)
    assert not Results(training=training, fit=FIT).trained
    assert Results(training=training, fit=replace(FIT, stopped_by="max_steps 18")).trained
    assert Results(training=training, fit=replace(FIT, last_epoch=3)).trained


@pytest.mark.parametrize(
    "change",
    [{"accumulate": 2}, {"gradient_clip": 1.0}, {"limits": ["x"]}, {"callbacks": ["x"]}, {"changes": ["x"]}],
)
def test_training_with_anything_more_is_not_plain(change: dict[str, object]) -> None:
    assert TrainingFacts(seed=0, epochs=3).is_plain
    assert not TrainingFacts(seed=0, epochs=3, **change).is_plain
