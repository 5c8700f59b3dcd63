from pathlib import Path

import pytest
from msgspec.structs import replace

from sbn_lightning.callbacks.summary_text import class_sizes_text, end_rows, length_text, start_rows
from sbn_lightning.run.facts import ClassFacts, DataFacts, TrainingFacts
from sbn_lightning.run.records import FitResult, read_results
from sbn_lightning.terminal import two_columns

TRAINING = TrainingFacts(seed=0, epochs=3, steps=36, steps_per_epoch=12, batches_per_epoch=12)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "3 × 12 steps = 36 steps"),
        ({"steps": 30}, "3 × 12 steps = 36 steps, of which 30 are trained"),
        ({"epochs": 1, "steps": 1, "steps_per_epoch": 1}, "1 × 1 step = 1 step"),
        ({"epochs": -1, "steps": 18}, "of 12 steps each; the training ends after 18 steps"),
        ({"epochs": -1, "steps": None}, "of 12 steps each; no end is set"),
        ({"steps": None, "steps_per_epoch": None}, "3 × 12 batches"),  # GradientAccumulationScheduler decides
    ],
)
def test_length_of_a_training_is_its_steps_where_they_are_known(changes: dict[str, object], text: str) -> None:
    assert length_text(replace(TRAINING, **changes)) == text


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (1.0, "the last epoch; each epoch is also tested (test_each_epoch/…), and nothing is chosen by that\n"),
        (3, "nothing is chosen by that\n"),  # of three batches
        (2, "nothing is chosen by that; limit_val_batches 2: of a part of its images\n"),
        (0, "Reported    the last epoch; limit_val_batches 0: nothing is validated\n"),
    ],
)
def test_test_set_is_watched_only_where_it_is_looked_at(limit: float, text: str) -> None:
    facts = read_results(Path(__file__).parents[1] / "records/digits/digits/SmallCNN/sbn/seed0")
    assert text in two_columns(*start_rows(facts, Path("run"), [], limit))
    smaller = replace(facts, data=replace(facts.data, evaluation_batch_size=64))  # six batches
    assert ("of a part" in two_columns(*start_rows(smaller, Path("run"), [], limit))) == (limit in (2, 3))


def test_classes_of_one_size_are_told_by_that_size() -> None:
    eight, one = ClassFacts("8", 139), ClassFacts("1", 146)
    data = DataFacts("Digits", {}, 10, 128, smallest_class=eight, largest_class=one)
    assert class_sizes_text(data) == "smallest class 8 (139 training images), largest 1 (146)"
    assert class_sizes_text(replace(data, largest_class=eight)) == "139 training images of each class"


def test_end_of_a_training_names_no_file_of_a_test_a_prediction_or_a_report(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    for name in (
        "results.json",
        "run.lock",
        "test.npz",
        "predictions.csv",
        "report/report.html",
        "events.out.tfevents.7.host.1.0",
    ):
        (tmp_path / name).touch()
    rows = end_rows(FitResult(1.0, 3, {}), {}, tmp_path)
    assert [text for name, text in rows if name == "Written"] == [f"{tmp_path}/: results.json, TensorBoard events"]


def test_value_of_some_images_says_of_how_many(tmp_path: Path) -> None:
    last = {"train/accuracy": 0.5, "test_each_epoch/accuracy": 0.25}
    result = FitResult(1.0, 1, last, seen={"train": 1437, "test_each_epoch": 128}, epochs_done=1.0)
    rows = end_rows(result, {"train": 1437, "test": 360}, tmp_path)
    assert ("Trained", "1 epoch in 1 s") in rows
    assert (
        "Last epoch",
        "train/accuracy 0.5000, test_each_epoch/accuracy 0.2500 (128 of 360 images; 95 %: 18 to 33 %)",
    ) in rows


def test_best_epoch_of_a_validation_inside_of_it_names_the_step(tmp_path: Path) -> None:
    best = {"epoch": 2, "step": 1500, "val/accuracy": 0.5}
    text = "val/accuracy 0.5000 in epoch 2, after 1,500 steps"
    assert ("Best epoch", text) in end_rows(FitResult(1.0, 3, {}, best=best), {}, tmp_path)
    text += "; last.ckpt, which was also validated at the end, is better"
    assert ("Best epoch", text) in end_rows(FitResult(1.0, 3, {"val/accuracy": 0.6}, best=best), {}, tmp_path)
