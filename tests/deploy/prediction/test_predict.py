"""`sbn predict`: a row for each image, whatever the images, the output and the interruption are."""

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from deploy_photos import CLASSES, put_photos
from lightning.pytorch import Trainer

from sbn_lightning.deploy.images import ImageFiles
from sbn_lightning.deploy.prediction.command import write_predictions
from sbn_lightning.deploy.prediction.guesses import GuessTable
from sbn_lightning.deploy.progress import ImageProgress
from sbn_lightning.deploy.trained import Trained, data_of
from sbn_lightning.run.interval import interval_text

Sbn = Callable[..., None]
Answer = Callable[..., str]


def table(file: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(Path(file).read_text(encoding="utf-8").splitlines()))


@pytest.fixture
def photos(empty_folder: Path) -> Path:
    """photos/ of all classes in the current folder, which the training has not seen."""
    put_photos(Path("photos"), 6, seed=1)
    return Path("photos")


def test_photos_are_classified_with_what_their_folders_say(
    photos: Path, photo_run: Path, trained: Trained, sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "cat" / "000.jpg").write_bytes(b"")
    sbn("predict", "--config", photo_run, "--images", "photos", "--device", "cpu")
    rows = table("predictions.csv")
    assert [row["path"] for row in rows] == sorted(f"photos/{name}/{n:03}.jpg" for name in CLASSES for n in range(6))
    good = [row for row in rows if not row["error"]]
    expected = trained.classifier.predict([row["path"] for row in good])
    best = expected.probabilities.topk(3)
    for row, shares, labels in zip(good, best.values.tolist(), best.indices.tolist(), strict=True):
        names = [trained.data.class_names[label].replace("=dog", "'=dog") for label in labels]
        assert [row["predicted"], row["second"], row["third"]] == names
        given = [float(row[f"{guess}probability"]) for guess in ("", "second_", "third_")]
        assert given == pytest.approx(shares, abs=2e-6)
        assert row["label"] == Path(row["path"]).parent.name.replace("=dog", "'=dog")
        assert row["correct"] == ("true" if row["label"] == row["predicted"] else "false")
    (bad,) = [row for row in rows if row["error"]]
    assert (bad["error"], bad["label"], bad["predicted"], bad["probability"]) == ("is empty", "cat", "", "")
    said = capsys.readouterr().out
    correct = sum(row["correct"] == "true" for row in good)
    assert f"Accuracy    {correct / 17:.4f} ({correct} of 17 images; {interval_text(correct, 17)})" in said
    assert "Errors      1 image could not be read: photos/cat/000.jpg is empty; see the column error" in said
    assert "Written     predictions.csv" in said
    assert f"Next        sbn evaluate --config {photo_run} --images photos" in said


def test_photos_without_classes_have_no_label_and_json_lines_are_exact(photos: Path, photo_run: Path, sbn: Sbn) -> None:
    odd = "a \"b\" 'c'\n猫.jpg"
    (photos / "=dog" / "000.jpg").rename(photos / "=dog" / odd)
    sbn("predict", "--config", photo_run, "--images", "photos/=dog", "--out", "new/folder/a.jsonl")
    rows = [json.loads(line) for line in Path("new/folder/a.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [list(row) for row in rows] == 6 * [
        ["path", "predicted", "probability", "second", "second_probability", "third", "third_probability", "error"]
    ]
    assert rows[-1]["path"] == f"photos/=dog/{odd}"
    assert {row["predicted"] for row in rows} <= set(CLASSES)
    assert {row["error"] for row in rows} == {None}


def test_test_set_is_written_into_the_run_s_folder_and_replaced(
    photo_run: Path, trained: Trained, sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        sbn("predict", "--config", photo_run)
    rows = table(photo_run / "predictions.csv")
    assert len(rows) == trained.data.images["test"]
    assert all((photo_run.parent / "photos" / row["path"].removeprefix("'")).is_file() for row in rows)
    said = capsys.readouterr().out
    assert f"Images      {len(rows)} images of the test set" in said
    assert f"Written     {photo_run}/predictions.csv" in said


def test_two_classes_have_two_guesses() -> None:
    assert GuessTable(Path("a.csv"), ["a", "b"], has_labels=False).columns == [
        "path", "predicted", "probability", "second", "second_probability", "error",
    ]  # fmt: skip


def test_trainer_in_python_predicts_the_test_set_too(photo_run: Path, trained: Trained) -> None:
    data = data_of(photo_run)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    outputs = trainer.predict(trained.classifier, data)
    assert outputs
    logits = torch.cat([output["logits"] for output in outputs])
    assert logits.shape == (data.num_images["test"], 3)
    trained.classifier.eval()


# What must not be written, or cannot be read.


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--images nowhere", ["there is no file or folder nowhere"]),
        ("--images empty", ["there is no image in empty; ", ".jpg"]),
        ("--images photos --out there.csv", ["there.csv is there already", "--overwrite", "--out FILE"]),
        ("--images photos --out a.txt", ["--out a.txt must end in .csv, or in .jsonl"]),
        ("--images photos --out photos/cat/000.jpg", ["must end in .csv"]),
        ("--images photos --out empty", ["--out empty must end in .csv"]),
        ("--images photos --out there.csv/a.csv", ["there.csv/a.csv cannot be written", "--out FILE"]),
        ("--images photos --batch-size 0", ["--batch_size is 0; it must be at least 1"]),
        ("--images photos --root photos", ["--root is the folder of the run's own data"]),
        ("--images photos --device cuda", ["'cuda'", "this machine does not have"]),
        ("--images", ["--images needs a value"]),
        ("--ckpt-path best", ["best.ckpt"]),
        ("--config digits_sbn --images photos", ["digits_sbn is not trained yet", "--config runs/digits_sbn"]),
    ],
)
def test_command_that_cannot_be_carried_out_says_why_and_writes_nothing(
    options: str, expected: list[str], photos: Path, photo_run: Path, answer: Answer
) -> None:
    Path("empty").mkdir()
    Path("there.csv").write_text("older")
    text = answer("predict", "--config", photo_run, *options.split())
    assert all(part in text for part in expected)
    assert Path("there.csv").read_text() == "older"
    assert not list(Path().glob("*predictions*"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"state_dict": {"fc.weight": torch.zeros(2)}}, "other.ckpt"),
        ({"epoch": 3, "model": {"fc.weight": torch.zeros(2)}}, "other.ckpt"),
        (b"text", "other.ckpt"),
    ],
)
def test_checkpoint_of_another_program_is_refused(
    content: Any, expected: str, photos: Path, photo_run: Path, answer: Answer
) -> None:
    if isinstance(content, bytes):
        Path("other.ckpt").write_bytes(content)
    else:
        torch.save(content, "other.ckpt")
    for where in (["--config", "other.ckpt"], ["--config", photo_run, "--ckpt-path", "other.ckpt"]):
        assert expected in answer("predict", *where, "--images", "photos")
    assert not Path("predictions.csv").exists()


def test_file_that_is_there_is_replaced_on_request_also_inside_the_photos(
    photos: Path, photo_run: Path, sbn: Sbn
) -> None:
    for more in ([], ["--overwrite"]):
        sbn("predict", "--config", photo_run, "--images", "photos", "--out", "photos/out/a.csv", *more)
    assert len(table("photos/out/a.csv")) == 18
    assert "label" in table("photos/out/a.csv")[0]  # although photos/out is no class
    assert os.listdir("photos/out") == ["a.csv"]


# Interruptions.


def test_interruption_keeps_whole_rows_and_says_how_many(
    photos: Path, photo_run: Path, sbn: Sbn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advance = ImageProgress.advance
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):

        def interrupted(progress: ImageProgress, images: int, number: int = number) -> None:
            advance(progress, images)
            if progress.done >= 8:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(ImageProgress, "advance", interrupted)
        with pytest.raises(SystemExit) as end:
            sbn("predict", "--config", photo_run, "--images", "photos", "--batch-size", 4)
        assert end.value.code == code
        assert len(table("predictions.unfinished.csv")) == 8
        said = capsys.readouterr().out
        assert "Stopped     after 8 of 18 rows, which are in predictions.unfinished.csv" in said
        assert not Path("predictions.csv").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_model_that_answers_nan_is_refused(photos: Path, trained: Trained, tmp_path: Path) -> None:
    with torch.no_grad():
        weight = next(trained.classifier.head.parameters())
        before = weight.clone()
        weight.fill_(float("nan"))
    try:
        with pytest.raises(ValueError, match="answers NaN: its training went wrong"):
            write_predictions(trained, ImageFiles(["photos"], trained.data), tmp_path / "a.csv")
    finally:
        with torch.no_grad():
            weight.copy_(before)
    assert not list(tmp_path.glob("a*"))
