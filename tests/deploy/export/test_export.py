"""sbn export: the file answers as the checkpoint does, and nothing is left of what fails."""

import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import photo_run
import pytest
import torch
from PIL import Image

from sbn_lightning import Classifier
from sbn_lightning.cli import commands
from sbn_lightning.deploy.export import command as export_module
from sbn_lightning.deploy.export.formats import FORMATS
from sbn_lightning.deploy.export.inference_model import InferenceModel

Answer = Callable[..., str]
BLOCKED = "import sys; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; exec(open(sys.argv[0]).read())"
"""Runs a script where torch cannot be imported."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_run.train(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds birds.onnx and birds.md, made as most people would."""
    folder = tmp_path_factory.mktemp("exported")
    commands.main(["export", "--config", str(run), "--out", str(folder / "birds.onnx")])
    return folder


@pytest.fixture(scope="module")
def digits(train_digits: Callable[..., Path]) -> Path:
    return train_digits("--data.validation_fraction=0.1")


def script_in(card: Path) -> str:
    text = card.read_text(encoding="utf-8")
    return text.split("```python\n")[1].split("```")[0]


def answers(folder: Path, *photos: Path) -> list[list[str]]:
    """[class, probability] of each photo, by the card's script, in a Python without torch."""
    (folder / "classify.py").write_text(script_in(folder / "birds.md"), encoding="utf-8")
    found = []
    for file in photos:
        command = [sys.executable, "-c", BLOCKED, "classify.py", str(file)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.rstrip().rsplit(" ", 1))
    return found


def photos_in(folder: Path) -> list[Path]:
    """Photos that nobody has seen: of other sizes, one turned by its EXIF data, one large, one gray."""
    exif = Image.Exif()
    exif[0x0112] = 6
    photo_run.photo(1, 61, 38).save(folder / "a.jpg", quality=95)
    photo_run.photo(2, 44, 90).save(folder / "turned.jpg", quality=95, exif=exif)
    photo_run.photo(3, 700, 500).save(folder / "large.jpg", quality=95)
    photo_run.photo(4, 25, 33).convert("L").save(folder / "gray.png")
    return sorted(folder.glob("*.*g"))


def test_script_of_the_card_answers_as_the_checkpoint_without_torch(run: Path, exported: Path, tmp_path: Path) -> None:
    photos = photos_in(tmp_path)
    expected = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").predict(photos)
    found = answers(exported, *photos)
    assert [name for name, _ in found] == expected.names
    assert expected.probabilities.max() < 0.99, "a model that is always sure shows little"
    shown = [float(text.rstrip("%")) for _, text in found]
    assert shown == pytest.approx((100 * expected.probabilities.max(1).values).tolist(), abs=0.06)


@pytest.mark.parametrize("format", ["torch", "safetensors"])
def test_script_of_every_format_answers_as_the_checkpoint(
    format: str, run: Path, sbn: Callable[..., None], tmp_path: Path
) -> None:
    out = tmp_path / f"birds{FORMATS[format].suffix}"
    sbn("export", "--config", run, "--format", format, "--out", out)
    photo_run.photo(5, 50, 31).save(tmp_path / "photo.jpg")
    (tmp_path / "classify.py").write_text(script_in(tmp_path / "birds.md"))
    command = [sys.executable, "classify.py", "photo.jpg"]
    environment = {"PYTHONPATH": str(Path(commands.__file__).parents[2])}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").predict(tmp_path / "photo.jpg")
    assert done.stdout.startswith(expected.names[0])


@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
def test_script_fits_photos_in_as_the_training_did(fit: str, tmp_path: Path) -> None:
    from sbn_lightning.data.decode import decode
    from sbn_lightning.deploy.export.card import script_of

    script = script_of(Path("birds.onnx"), "onnx", (12, 20), fit, False)
    fitting = script[script.index("photo = Image.open") : script.index("probabilities = ")]
    for file in photos_in(tmp_path):
        found: dict = {"sys": argparse_like(file), "Image": Image, "np": np}
        exec("from PIL import ImageOps\n" + fitting, found)
        assert np.array_equal(found["pixels"][0], decode(file.read_bytes(), (12, 20), fit).pixels), file


def argparse_like(file: Path) -> object:
    return type("sys", (), {"argv": ["classify.py", str(file)]})


def test_card_shows_odd_class_names_and_file_holds_them(run: Path, exported: Path) -> None:
    import onnxruntime

    stored = onnxruntime.InferenceSession(exported / "birds.onnx").get_modelmeta().custom_metadata_map
    trained_on = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").trained_on
    assert trained_on is not None
    assert json.loads(stored["class_names"]) == trained_on.class_names
    assert {"птица", 'a "quoted" name'} < set(trained_on.class_names)
    text = (exported / "birds.md").read_text(encoding="utf-8")
    assert r"two\\nlines \| \*and\* \<b\>" in text
    assert "птица" in text


def test_card_tells_accuracy_data_check_versions_and_no_place_on_this_machine(run: Path, exported: Path) -> None:
    text = (exported / "birds.md").read_text(encoding="utf-8")
    results = json.loads((run / "results.json").read_text())
    test = results["evaluations"]["test"]
    assert f"{test['correct']} right of {test['images']} test images" in text
    assert f"compared with the checkpoint on the {test['images']} test images" in text
    assert f"Commit of the training:** {results['commit']}" in text or not results["commit"]
    assert "not stated here" in text
    assert str(run.parent) not in text


def test_temperature_is_fitted_on_held_out_images_and_said(digits: Path, sbn: Callable[..., None]) -> None:
    sbn("export", "--config", digits, "--out", "a.onnx")
    sbn("export", "--config", digits, "--out", "b.onnx", "--temperature", "calibrated")
    text = Path("b.md").read_text(encoding="utf-8")
    assert "fitted on the 144 held-out images" in text
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    plain, cooled = (FORMATS["onnx"].read(Path(name))(images)["logits"] for name in ("a.onnx", "b.onnx"))
    factor = (plain / cooled).flatten()
    torch.testing.assert_close(factor, factor[:1].expand(40), rtol=1e-3, atol=1e-3)
    assert f"{factor[0]:.2f}"[:3] in text


def test_test_set_is_named_where_nothing_was_held_out(
    train_digits: Callable[..., Path], sbn: Callable[..., None]
) -> None:
    sbn("export", "--config", train_digits(), "--out", "a.safetensors", "--temperature", "calibrated")
    assert (
        "test images; a calibration error of this file on the same images is too favourable" in Path("a.md").read_text()
    )


def test_resizing_inside_is_compared_with_pillow_on_the_files_of_the_run(
    run: Path, sbn: Callable[..., None], tmp_path: Path
) -> None:
    sbn("export", "--config", run, "--out", "birds.onnx", "--resize", "inside")
    text = Path("birds.md").read_text(encoding="utf-8")
    assert re.search(
        r"was compared with Pillow's, on \d+ files of test images: [\d.]+ % of the pixels differ, by 1 level", text
    )
    (tmp_path / "photos").mkdir()
    photos = photos_in(tmp_path / "photos")
    expected = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").predict(photos)
    assert [name for name, _ in answers(tmp_path, *photos)] == expected.names


def test_without_the_data_random_pixels_are_compared_and_that_is_said(
    digits: Path, sbn: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(digits / "checkpoints/last.ckpt", "alone.ckpt")
    sbn("export", "--config", "alone.ckpt", "--out", "alone.pt2", "--resize", "inside")
    assert "compared with the checkpoint on 64 images of random pixels, since there are no others here" in (
        " ".join(capsys.readouterr().out.split())
    )
    assert "not measured" in Path("alone.md").read_text()


def test_images_of_the_users_own_are_compared(run: Path, sbn: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    photos_in(tmp_path / "mine")
    (tmp_path / "mine/notes.txt").write_text("no image")
    sbn("export", "--config", run, "--out", "birds.safetensors", "--images", "mine")
    assert "compared with the checkpoint on 4 photos" in Path("birds.md").read_text()


# What is refused.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--out", "x.onnx"], "needs a run and a file"),
        (["--config", "RUN"], "needs a run and a file"),
        (["--config", "RUN", "--out", "x.bin"], "ends in .bin; use .onnx, .pt2, .safetensors"),
        (["--config", "RUN", "--out", "x"], "ends in no suffix"),
        (
            ["--config", "RUN", "--out", "x.onnx", "--format", "torch"],
            "x.onnx ends in .onnx; --format torch writes .pt2",
        ),
        (["--config", "RUN", "--out", "missing/x.onnx"], "the folder missing does not exist; create it"),
        (["--config", "RUN", "--out", "folder.onnx"], "folder.onnx is a folder"),
        (["--config", "RUN", "--out", "there.onnx"], "there.onnx exists; replace it with --overwrite"),
        (["--config", "RUN", "--out", "card.onnx"], "card.md exists; replace it with --overwrite"),
        (
            ["--config", "RUN", "--out", "x.onnx", "--temperature", "warm"],
            "--temperature is warm; it is calibrated, or",
        ),
        (["--config", "RUN", "--out", "x.onnx", "--temperature", "0"], "--temperature is 0; it is calibrated, or"),
        (["--config", "RUN", "--out", "x.onnx", "--images", "nowhere"], "there is no nowhere; name a folder of photos"),
        (["--config", "RUN", "--out", "x.onnx", "--images", "card.md"], "there are no images in card.md"),
        (["--config", "ALONE", "--out", "x.onnx", "--temperature", "calibrated"], "is a file without its run"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    options: list[str], told: str, digits: Path, answer: Answer, tmp_path: Path
) -> None:
    Path("folder.onnx").mkdir()
    Path("there.onnx").touch()
    Path("card.md").touch()
    if "ALONE" in options:
        shutil.copy(digits / "checkpoints/last.ckpt", "alone.ckpt")
    before = sorted(tmp_path.iterdir())
    words = [str(digits) if word == "RUN" else "alone.ckpt" if word == "ALONE" else word for word in options]
    assert told in answer("export", *words)
    assert sorted(tmp_path.iterdir()) == before


def test_data_that_are_not_where_the_user_says_are_refused(run: Path, answer: Answer) -> None:
    told = answer("export", "--config", run, "--out", "x.onnx", "--root", "nowhere")
    assert "is not in nowhere" in told


def test_folder_without_permission_is_refused(digits: Path, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    assert "nothing may be written in the folder ." in answer("export", "--config", digits, "--out", "x.onnx")


def test_missing_package_is_refused_before_all_work(
    digits: Path, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # `empty_folder` looks at all modules afterwards
        patch.setitem(sys.modules, "onnxscript", None)
        patch.setattr(export_module, "open_trained", None)
        assert "needs onnxscript, not installed here" in answer("export", "--config", digits, "--out", "x.onnx")


@pytest.mark.parametrize("lost", ["hyper_parameters", "trained_on"])
def test_checkpoint_without_its_network_or_its_classes_is_refused(lost: str, digits: Path, answer: Answer) -> None:
    content = torch.load(digits / "checkpoints/last.ckpt", weights_only=True)
    content.pop(lost)
    content.pop("run")
    torch.save(content, "old.ckpt")
    told = answer("export", "--config", "old.ckpt", "--out", "old.onnx")
    assert "old.ckpt" in told
    assert not list(Path().glob("old.[om]*"))


def test_existing_file_and_card_are_replaced_if_asked_to(digits: Path, sbn: Callable[..., None]) -> None:
    for name in ("x.safetensors", "x.md"):
        Path(name).write_text("old")
    sbn("export", "--config", digits, "--out", "x.safetensors", "--overwrite")
    assert "old" not in (Path("x.md").read_text()[:3], Path("x.safetensors").read_bytes()[:3].decode("latin1"))


@pytest.mark.parametrize("format", FORMATS)
def test_full_disk_leaves_nothing(format: str, digits: Path, answer: Answer, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))  # no file may grow beyond
    try:
        told = answer("export", "--config", digits, "--out", f"x{FORMATS[format].suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"x{FORMATS[format].suffix} cannot be written" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["write", "read", "card"])
def test_ctrl_c_leaves_nothing_half_written(
    where: str, digits: Path, sbn: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*arguments: object) -> None:
        raise KeyboardInterrupt

    Path("x.safetensors").write_text("the old one")
    owner = export_module if where == "card" else type(FORMATS["safetensors"])
    monkeypatch.setattr(owner, where, press)
    with pytest.raises(SystemExit) as end:
        sbn("export", "--config", digits, "--out", "x.safetensors", "--overwrite")
    assert end.value.code == 130
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]
    assert Path("x.safetensors").read_text() == "the old one"


def test_file_that_answers_otherwise_is_refused_and_leaves_nothing(
    digits: Path, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(InferenceModel):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return super().forward(255 - images)

    monkeypatch.setattr(export_module, "InferenceModel", Wrong)
    told = answer("export", "--config", digits, "--out", "x.pt2")
    assert "does not answer as the checkpoint does: of 300 images" in told
    assert not list(tmp_path.iterdir())


def test_checkpoint_that_answers_nan_is_refused(digits: Path, answer: Answer, tmp_path: Path) -> None:
    content = torch.load(digits / "checkpoints/last.ckpt", weights_only=True)
    content["state_dict"]["normalization.mean"].fill_(torch.nan)
    torch.save(content, "nan.ckpt")
    assert "the checkpoint answers NaN: its training went wrong" in answer(
        "export", "--config", "nan.ckpt", "--out", "x.safetensors"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["nan.ckpt"]


def test_file_that_answers_nan_is_refused(digits: Path, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(InferenceModel):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {name: value * torch.nan for name, value in super().forward(images).items()}

    monkeypatch.setattr(export_module, "InferenceModel", Broken)
    told = answer("export", "--config", digits, "--out", "x.pt2")
    assert "the largest difference of a probability is nan" in told
