"""An export that cannot be done is refused, and what fails leaves nothing."""

import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbn_lightning.deploy.export import command as export_module
from sbn_lightning.deploy.export.formats import FORMATS

Answer = Callable[..., str]


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
        (
            ["--config", "RUN", "--out", "x.onnx", "--images", "nowhere"],
            "there is no file or folder nowhere; --images takes",
        ),
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
