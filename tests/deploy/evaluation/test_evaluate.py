"""The command `sbn evaluate`, on a trained run and on folders of images."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sbn_lightning.cli import commands
from sbn_lightning.deploy.trained import data_of
from sbn_lightning.run.measures import AFTER_TEST, MEASURES
from sbn_lightning.run.records import read_results


@pytest.fixture(scope="module")
def run(train_digits: Callable[..., Path]) -> Path:
    """A run that was tested, with images that are held out."""
    folder = train_digits("--data.validation_fraction=0.1", "--trainer.max_epochs=3")
    commands.main(["test", "--config", str(folder), "--trainer.enable_progress_bar=false"])
    return folder


@pytest.fixture(scope="module")
def photos(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test set as a folder of class folders."""
    folder, data = tmp_path_factory.mktemp("photos"), data_of(run)
    pixels = data.stored_images("test", torch.arange(360)).permute(0, 2, 3, 1).numpy()
    labels = torch.cat([batch.labels for batch in data.test_dataloader()]).tolist()
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{number}.png")
    return folder


@pytest.fixture
def copied(photos: Path, tmp_path: Path) -> Path:
    """The same to be changed: three images of each of the classes 0 to 4."""
    folder = tmp_path / "copied"
    for label in map(str, range(5)):
        (folder / label).mkdir(parents=True)
        for file in sorted((photos / label).iterdir())[:3]:
            shutil.copy(file, folder / label / file.name)
    return folder


@pytest.fixture
def evaluated(sbn: Callable[..., None], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """evaluated("--config", run) -> evaluation.json."""

    def evaluate(*arguments: object) -> dict[str, Any]:
        sbn("evaluate", *arguments, "--out", tmp_path / "out")
        assert {file.name for file in (tmp_path / "out").iterdir()} == {"evaluation.html", "evaluation.json"}
        return json.loads((tmp_path / "out/evaluation.json").read_text())

    return evaluate


def test_results_are_those_of_sbn_test(run: Path, evaluated: Callable[..., dict[str, Any]]) -> None:
    tested, (network,) = read_results(run).evaluations["test"], evaluated("--config", run)["networks"]
    assert (network["images"], network["correct"]) == (tested.images, tested.correct)
    for measure in (*MEASURES, *AFTER_TEST):
        assert network["measures"][measure.name] == pytest.approx(tested.metrics[measure.name], rel=1e-6), measure.name
    expected = [(tested.calibrated.calibration_error, tested.calibrated.highest)]
    assert [tuple(network["calibration"]["before"]["if_calibrated"].values())] == expected
    assert {row["name"]: round(row["recall"], 6) for row in network["classes"]} == tested.class_accuracy
    assert network["network"]["sha256"] == tested.sha256


def test_temperature_of_a_run_with_held_out_images_is_fitted_on_them(
    run: Path, evaluated: Callable[..., dict[str, Any]]
) -> None:
    of_test, of_val = evaluated("--config", run), evaluated("--config", run, "--split", "val")
    fitted = [one["networks"][0]["calibration"] for one in (of_test, of_val)]
    assert [one["fitted_on"] for one in fitted] == ["of held-out images", "cross-fitted"]
    assert [len(one["temperatures"]) for one in fitted] == [1, 10]
    assert of_val["data"]["name"] == "the validation set of Digits"


def test_a_folder_of_class_folders_gives_what_the_test_set_gives(
    run: Path, photos: Path, evaluated: Callable[..., dict[str, Any]]
) -> None:
    found = evaluated("--config", run, "--images", photos)
    (network,) = found["networks"]
    assert network["measures"]["accuracy"] == pytest.approx(read_results(run).test.metrics["accuracy"])
    assert found["data"]["remarks"] == []
    one = network["confident_mistakes"][0]
    assert one["image"].startswith(f"{one['label']}/")


def test_what_cannot_be_judged_is_left_out_and_counted(
    run: Path, copied: Path, evaluated: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "<b>owl").mkdir()
    shutil.copy(next((copied / "0").iterdir()), copied / "<b>owl/1.png")
    shutil.copy(next((copied / "0").iterdir()), copied / "loose.png")
    (copied / "1/broken.png").write_bytes(b"no image")
    (copied / "9").mkdir()  # a class without images
    found = evaluated("--config", run, "--images", copied)
    assert found["networks"][0]["images"] == 15
    assert len(found["data"]["unreadable"]) == 1
    said = capsys.readouterr().out
    for text in (
        "1 image in 1 folder that no class is called like (<b>owl) is left out: no answer could be right.",
        "1 image lies in no class's folder, and is left out.",
        "1 file could not be read and is left out: 1/broken.png ",
    ):
        assert text in said
        assert any(remark.startswith(text) for remark in found["data"]["remarks"])


@pytest.mark.parametrize("classes", [["3"], ["0", "1"]])
def test_one_class_and_one_image_are_enough(
    run: Path, copied: Path, evaluated: Callable[..., dict[str, Any]], classes: list[str]
) -> None:
    for folder in set(copied.iterdir()) - {copied / name for name in classes}:
        shutil.rmtree(folder)
    for folder in copied.iterdir():
        for file in sorted(folder.iterdir())[1:]:
            file.unlink()
    network = evaluated("--config", run, "--images", copied)["networks"][0]
    assert network["images"] == len(classes)
    assert sum(row["images"] for row in network["classes"]) == len(classes)


def test_folders_that_are_called_like_no_class_are_refused(run: Path, copied: Path, answer: Callable[..., str]) -> None:
    def refused() -> str:
        return answer("evaluate", "--config", run, "--images", copied, "--out", "out")

    (copied / "test").mkdir()
    for label in range(5):
        (copied / str(label)).rename(copied / f"test/{label}")
    assert f"name one of them: --images {copied / 'test'}" in refused()
    (copied / "test").rename(copied / "birds")
    assert "lies in a folder that is called like one of the classes (0, 1, 2, 3, 4, and 5 more)" in refused()
    shutil.rmtree(copied / "birds")
    assert "lies in a folder that is called like" in refused()
    assert not Path("out/evaluation.json").exists()


def test_images_that_cannot_be_read_at_all_are_refused(run: Path, copied: Path, answer: Callable[..., str]) -> None:
    for file in copied.rglob("*.png"):
        file.write_bytes(b"no image")
    assert f"none of the 15 images can be read: {copied}/0/" in answer("evaluate", "--config", run, "--images", copied)


def test_two_runs_are_compared_on_the_same_images(run: Path, copied: Path, sbn: Callable[..., None]) -> None:
    shutil.copytree(run / "checkpoints", "other/checkpoints")
    shutil.copytree(run, "twin")
    sbn("evaluate", "--config", run, "twin", "--images", copied)
    (folder,) = Path().glob(f"evaluation_of_{run.name}_and_twin_copied")
    found = json.loads((folder / "evaluation.json").read_text())
    assert [network["network"]["name"] for network in found["networks"]] == [run.name, "twin"]
    compared = found["comparison"]
    assert (compared["only_first"], compared["only_second"], compared["p"]) == (0, 0, 1.0)
    assert compared["both"] + compared["neither"] == 15
    assert "Both networks have the same of 15 images right." in (folder / "evaluation.html").read_text()


def test_each_checkpoint_and_set_of_images_has_a_folder_of_its_own(
    run: Path, copied: Path, sbn: Callable[..., None]
) -> None:
    shutil.copytree(run, "birds", ignore=shutil.ignore_patterns("evaluation*"))
    for options in ([], ["--ckpt-path", "best"], ["--split", "val"], ["--images", copied]):
        sbn("evaluate", "--config", "birds", *options)
    sbn("evaluate", "--config", "birds/checkpoints/last.ckpt", "birds/checkpoints/best.ckpt", "--images", copied)
    folders = sorted(str(file.parent) for file in Path().rglob("evaluation.html"))
    names = ["evaluation", "evaluation_best", "evaluation_copied", "evaluation_val"]
    assert folders == [*(f"birds/{name}" for name in names), "evaluation_of_birds_and_birds_copied"]
    found = json.loads(Path("birds/evaluation_best/evaluation.json").read_text())
    assert found["networks"][0]["network"]["name"] == "birds (best)"


def test_evaluation_replaces_its_own_files_and_no_others(
    run: Path, sbn: Callable[..., None], answer: Callable[..., str]
) -> None:
    for _ in range(2):
        sbn("evaluate", "--config", run)
    assert (run / "evaluation/evaluation.html").exists()
    Path("kept").mkdir()
    Path("kept/notes.txt").write_text("stays")
    sbn("evaluate", "--config", run, "--out", "kept")
    Path("kept/evaluation.json").write_text("{}")
    assert "kept holds an evaluation.html or evaluation.json that sbn evaluate did not write" in answer(
        "evaluate", "--config", run, "--out", "kept"
    )
    assert "kept/notes.txt is a file; name a folder" in answer("evaluate", "--config", run, "--out", "kept/notes.txt")
    assert Path("kept/evaluation.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "sbn evaluate takes one trained model or two, and not 0: sbn evaluate --config RUN"),
        (["--config", "a", "b", "c"], "takes one trained model or two, and not 3"),
        (["--config", "RUN", "RUN"], "is named twice"),
        (["--config", "RUN", "--images", "nowhere"], "--images nowhere is not a folder"),
        (["--config", "RUN", "--images", ".", "--root", "."], "leave it out, or leave out --images"),
        (["--config", "RUN", "a", "--ckpt-path", "x.ckpt"], "would be both models; name two checkpoints"),
        (["--config", "runs/none"], "runs/none"),
        (["--config", "RUN", "--split", "train"], "train"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(
    run: Path, answer: Callable[..., str], arguments: list[str], said: str
) -> None:
    assert said in answer("evaluate", *(run if word == "RUN" else word for word in arguments))


def test_a_network_that_answers_nan_is_refused(run: Path, answer: Callable[..., str]) -> None:
    stored = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    weights = stored["state_dict"]
    weights[next(name for name in weights if name.startswith("head") and weights[name].is_floating_point())].fill_(
        float("nan")
    )
    torch.save(stored, "broken.ckpt")
    shutil.copytree(run, "broken", ignore=shutil.ignore_patterns("evaluation*"))
    shutil.copy("broken.ckpt", "broken/checkpoints/last.ckpt")
    assert "answers NaN or infinity to 360 images of 360" in answer("evaluate", "--config", "broken")
    assert not list(Path("broken").glob("evaluation*"))


def test_checkpoint_from_elsewhere_does_not_replace_the_evaluation_of_the_run(
    run: Path, tmp_path: Path, sbn: Callable[..., None], answer: Callable[..., str]
) -> None:
    shutil.copy(run / "checkpoints/last.ckpt", "last.ckpt")
    options = ["--config", run, "--ckpt-path", "last.ckpt"]
    assert f"last.ckpt is not of the run {run}; name the folder to write into" in answer("evaluate", *options)
    sbn("evaluate", *options, "--out", "out")
    found = json.loads(Path("out/evaluation.json").read_text())
    assert found["networks"][0]["network"]["name"] == "run (last.ckpt)"
