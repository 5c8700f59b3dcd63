"""How far a run is that is at work."""

import json
from pathlib import Path

import pytest

from sbn_lightning.reproduce.running import Running

TAG = "test_each_epoch/accuracy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "results.json").write_text('{"version": 1, "training": {"seed": 0, "epochs": 30}}')
    rows = [{"step": 5}, {"step": 11, TAG: 0.5}, {"step": 11, "train/accuracy": 0.9, "epoch": 1}]
    rows += [{"step": 23, TAG: 0.9722}, {"step": 23, "train/accuracy": 0.95, "epoch": 2}, {"step": 29, "epoch": 3}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


def test_epochs_that_have_ended_and_the_last_accuracy_are_read(folder: Path) -> None:
    running = Running(0.0)
    running.look(folder)
    assert (running.has_started, running.epoch, running.epochs, running.accuracy) == (True, 2, 30, 0.9722)
    assert running.first == running.last
    assert running.trained is None


def test_what_cannot_be_read_yet_stays_as_it_was(folder: Path) -> None:
    (running := Running(0.0)).look(folder / "not_there")
    assert (running.has_started, running.epoch, running.epochs, running.accuracy) == (False, 0, None, None)
    running.look(folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("0.9x}\n")
    running.look(folder)
    assert running.epoch == 2


def test_training_without_a_number_of_epochs_has_no_pace(folder: Path) -> None:
    (folder / "results.json").write_text('{"version": 1, "training": {"seed": 0, "epochs": -1}}')
    (running := Running(0.0)).look(folder)
    running.last = 9.0, 3
    assert running.epochs is None
    assert running.training_left(10.0) is None


def test_end_of_the_training_is_seen(folder: Path) -> None:
    fit = {"seconds": 1.0, "last_epoch": 30, "last": {}}
    training = {"seed": 0, "epochs": 30}
    (folder / "results.json").write_text(json.dumps({"version": 1, "training": training, "fit": fit}))
    (running := Running(0.0)).look(folder)
    seen = running.trained
    assert seen is not None
    running.look(folder)
    assert running.trained == seen
