"""A checkpoint belongs to its classes, its image size and its normalization; an evaluation on other data is refused, or
recorded beside the test set's result."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sbn_lightning.cli import commands

Sbn = Callable[..., None]
Answer = Callable[..., str]
SPLITS = {"train": 6, "test": 3}


def write_photos(root: Path, classes: tuple[str, ...], seed: int = 0, more: int = 0) -> Path:
    """root/train/<class>/* and root/test/<class>/*: 6 and 3 pictures of each class; `more` in each further."""
    for split, count in SPLITS.items():
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count + more):
                random = np.random.default_rng([seed, label, number, count])
                pixels = np.clip(random.normal(60 * (label + 1) + seed, 10, (8, 8, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on three classes, photos/ beside it; trained and tested."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder / "photos", ("cat", "dog", "owl"))
    options = ["--config", "image_folder_sbn", "--data.root", "photos", "--data.image_size", "8", "--run_dir", "run"]
    options += ["--data.batch_size", "6", "--model.backbone", "SmallCNN", "--model.backbone.width", "4"]
    options += [
        "--trainer.max_epochs",
        "1",
        "--trainer.log_every_n_steps",
        "1",
        "--trainer.enable_progress_bar",
        "false",
    ]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()):
        patch.chdir(folder)
        commands.main(["fit", *options])
        commands.main(["test", "--config", "run"])
    return folder


@pytest.fixture
def run(trained: Path, sbn: Sbn, tmp_path: Path) -> Path:
    """A copy of it in the current folder."""
    return Path(shutil.copytree(trained, tmp_path, dirs_exist_ok=True)) / "run"


def files(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def record(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def test_record_names_the_checkpoint_the_data_and_the_classes(run: Path) -> None:
    results, last = record(run), run / "checkpoints/last.ckpt"
    test = results["evaluations"]["test"]
    assert results["data"]["class_names"] == ["cat", "dog", "owl"]
    assert test["data"] == results["data"]["fingerprint"]
    assert test["sha256"] == hashlib.sha256(last.read_bytes()).hexdigest()
    assert test["step"] == results["fit"]["step"] == torch.load(last, weights_only=True)["global_step"] == 3


OTHER: dict[str, tuple[tuple[str, ...], list[str], str]] = {
    "other classes": (
        ("ant", "cat", "owl"),
        [],
        "of its 3 classes these are not here: 'dog'; these are here only: 'ant'",
    ),
    "a class is missing": (
        ("cat", "dog"),
        [],
        "it was trained for 3 classes, and these data have 2; of its 3 classes these are",
    ),
    "one class more": (("cat", "dog", "fox", "owl"), [], "these data have 4; these are here only: 'fox'"),
    "another size": (("cat", "dog", "owl"), ["--data.image_size", "16"], "data.image_size is 8 there, 16 here"),
    "another shape": (("cat", "dog", "owl"), ["--data.fit", "squash"], "data.fit is 'crop' there, 'squash' here"),
}


@pytest.mark.parametrize("what", OTHER)
def test_evaluation_on_other_data_is_refused_with_the_difference(what: str, run: Path, answer: Answer) -> None:
    classes, options, difference = OTHER[what]
    write_photos(Path("b/photos"), classes)
    before = files(run)
    for command in ("test", "predict"):
        assert difference in answer(command, "--config", "run", "--data.root", "b/photos", *options)
    assert files(run) == before


def test_same_size_is_asked_of_data_of_another_kind(run: Path, answer: Answer) -> None:
    write_photos(Path("b/photos"), ("cat", "dog", "owl"))
    data = {"class_path": "own_classes.Photos16", "init_args": {"root": "b/photos"}}
    said = answer("test", "--config", "run", "--data", json.dumps(data))
    assert "its images are of 8×8 pixels, these of 16×16" in said


def test_other_data_are_taken_by_those_who_mean_it_and_recorded_beside(
    run: Path, sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(Path("b/photos"), ("ant", "cat", "owl"))
    before = files(run)
    sbn("test", "--config", "run", "--data.root", "b/photos", "--allow_other_data", "true")
    tested = record(run)["evaluations"]
    (name,) = tested.keys() - {"test"}
    assert (
        "Other data  of its 3 classes these are not here: 'dog'; these are here only: 'ant'" in capsys.readouterr().out
    )
    assert name == f"test_on_{tested[name]['data'][:8]}"
    assert tested["test"] == json.loads(before["results.json"])["evaluations"]["test"]
    assert (run / f"{name}.npz").is_file()
    assert {file: content for file, content in files(run).items() if file in before and file != "results.json"} == {
        file: content for file, content in before.items() if file != "results.json"
    }


def test_more_images_of_the_same_classes_are_taken_said_and_recorded_beside(
    run: Path, sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("photos")
    write_photos(Path("photos"), ("cat", "dog", "owl"), more=2)
    sbn("predict", "--config", "run")
    assert not (run / "predictions.csv").exists()
    (predictions,) = run.glob("predictions_on_*.csv")
    rows = list(csv.DictReader(predictions.read_text().splitlines()))
    assert [row["image"] for row in rows] == [
        f"test/{label}/{number}.png" for label in ("cat", "dog", "owl") for number in range(5)
    ]
    assert [row["image"].split("/")[1] for row in rows] == [row["label"] for row in rows]
    sbn("test", "--config", "run")
    said = capsys.readouterr().out
    assert "Other data  not the images of the training (18 train, 9 test), but 24 train, 15 test" in said
    assert sorted(image["images"] for image in record(run)["evaluations"].values()) == [9, 15]


def test_images_are_normalized_as_in_training(run: Path, sbn: Sbn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test images are the same, the training images beside them are lighter."""
    shutil.rmtree("photos/train")
    lighter = write_photos(Path("lighter"), ("cat", "dog", "owl"), seed=40)
    shutil.move(lighter / "train", "photos/train")
    sbn("test", "--config", "run")
    first, second = (np.load(file)["logits"] for file in sorted(run.glob("test*.npz")))
    np.testing.assert_array_equal(first, second)


def test_training_is_not_continued_on_other_images(run: Path, answer: Answer) -> None:
    shutil.rmtree("photos")
    write_photos(Path("photos"), ("cat", "dog", "owl"), seed=1)
    before = files(run)
    options = ["--config", "run", "--ckpt_path", "last", "--trainer.max_epochs", 2]
    assert "was trained on other images than the command's (as many in each split, but others)" in answer(
        "fit", *options
    )
    assert files(run) == before


def test_checkpoint_of_another_run_does_not_replace_the_test(run: Path, sbn: Sbn) -> None:
    shutil.copytree(run, "other")
    before = record(run)["evaluations"]["test"]
    sbn("test", "--config", "run", "--ckpt_path", "other/checkpoints/last.ckpt")
    tested = record(run)["evaluations"]
    assert tested["test"] == before
    assert tested.keys() == {"test", f"test_{before['sha256'][:8]}"}


def test_home_folder_is_expanded_once(run: Path, sbn: Sbn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = ["--config=~/run", "--data.root", "~/photos", "--trainer.max_epochs", 1]
    sbn("fit", *options, "--run_dir", "~/new", "--data.packed_dir", "~/packed")
    sbn("test", "--config", "~/new", "--ckpt_path", "~/new/checkpoints/last.ckpt")
    sbn("report", "~/new", "--out", "~/report")
    assert "test" in record(tmp_path / "new")["evaluations"]
    assert {path.name for path in tmp_path.iterdir()} == {"run", "photos", "new", "packed", "report"}
