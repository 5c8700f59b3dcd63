"""A file is kept only if it answers as its checkpoint does, on real images where there are any."""

import shutil
from collections.abc import Callable
from pathlib import Path

import photo_run
import pytest
import torch

from sbn_lightning.deploy.export import command as export_module
from sbn_lightning.deploy.export.inference_model import InferenceModel

Answer = Callable[..., str]


def test_without_the_data_random_pixels_are_compared_and_that_is_said(
    digits: Path, sbn: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(digits / "checkpoints/last.ckpt", "alone.ckpt")
    sbn("export", "--config", "alone.ckpt", "--out", "alone.pt2", "--resize", "inside")
    assert "compared with the checkpoint on 64 images of random pixels, since there are no others here" in (
        " ".join(capsys.readouterr().out.split())
    )
    assert "not measured" in Path("alone.md").read_text()


def test_images_of_the_users_own_are_compared_and_the_script_comes_next(
    run: Path, sbn: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    photo_run.put_unseen(tmp_path / "mine")
    (tmp_path / "mine/notes.txt").write_text("no image")
    sbn("export", "--config", run, "--out", "birds.safetensors", "--images", "mine")
    assert "compared with the checkpoint on 9 photos" in Path("birds.md").read_text()
    said = " ".join(capsys.readouterr().out.split())
    assert said.endswith("Next save the script in birds.md as classify.py: python classify.py PHOTO")


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
