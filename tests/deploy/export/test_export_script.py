"""The script of the model card answers as the checkpoint does."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import photo_run
import pytest
from PIL import Image

from sbn_lightning import Classifier
from sbn_lightning.cli import commands
from sbn_lightning.data.decode import decode
from sbn_lightning.deploy.export.card import script_of
from sbn_lightning.deploy.export.formats import FORMATS

BLOCKED = "import sys; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; exec(open(sys.argv[0]).read())"
"""Runs a script where torch cannot be imported."""


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


def test_script_of_the_card_answers_as_the_checkpoint_without_torch(run: Path, exported: Path, tmp_path: Path) -> None:
    photos = photo_run.put_unseen(tmp_path)
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
    script = script_of(Path("birds.onnx"), "onnx", (12, 20), fit, False)
    fitting = script[script.index("photo = Image.open") : script.index("probabilities = ")]
    for file in photo_run.put_unseen(tmp_path):
        found: dict = {"sys": argparse_like(file), "Image": Image, "np": np}
        exec("from PIL import ImageOps\n" + fitting, found)
        assert np.array_equal(found["pixels"][0], decode(file.read_bytes(), (12, 20), fit).pixels), file


def argparse_like(file: Path) -> object:
    return type("sys", (), {"argv": ["classify.py", str(file)]})


def test_resizing_inside_is_compared_with_pillow_on_the_files_of_the_run(
    run: Path, sbn: Callable[..., None], tmp_path: Path
) -> None:
    sbn("export", "--config", run, "--out", "birds.onnx", "--resize", "inside")
    text = Path("birds.md").read_text(encoding="utf-8")
    assert re.search(
        r"was compared with Pillow's, on \d+ files of test images: [\d.]+ % of the pixels differ, by 1 level", text
    )
    (tmp_path / "photos").mkdir()
    photos = photo_run.put_unseen(tmp_path / "photos")
    expected = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").predict(photos)
    assert [name for name, _ in answers(tmp_path, *photos)] == expected.names
