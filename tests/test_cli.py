"""The command line: what it offers, and how it answers what it cannot carry out."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_lightning.cli import commands
from sbn_lightning.config_files import config_folder, find_config, with_config_paths

Sbn = Callable[..., None]


def test_help_lists_every_command_and_config(sbn: Sbn, capsys: pytest.CaptureFixture[str]) -> None:
    sbn("--help")
    text = capsys.readouterr().out
    assert all(f"  {command} " in text for command in commands.COMMANDS)
    assert all(path.stem in text for path in config_folder().glob("*.yaml"))


def test_help_does_not_import_torch() -> None:
    program = (
        "import sys; from sbn_lightning.cli.commands import main; main(['--help']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "prepare"])
def test_every_command_with_a_config_has_help(command: str, sbn: Sbn, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        sbn(command, "--help")
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: sbn {command} --config CONFIG [--KEY VALUE ...]\n")
    assert "--run_dir" in text
    assert "--model.head" in text


def test_reproduce_has_help(sbn: Sbn, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        sbn("reproduce", "--help")
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: sbn reproduce [--table TABLE | --grid FILE]")
    assert all(option in text for option in ("--datasets", "--seeds", "--jobs", "--dry-run", "--cluster", "--out"))


def test_prepare_packs_the_data_of_a_config_and_says_what_is_there(
    sbn: Sbn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for _ in range(2):
        sbn("prepare", "--config", "digits_sbn", "--data.packed_dir", "packed", "--trainer.devices", 1000)
        said.append(capsys.readouterr().out)
    assert said[0].startswith("Packing Digits into packed/digits: 1,797 images, 0 MB on the disk; ")
    assert said[0].endswith(f"\n{said[1]}")
    assert said[1].startswith("Digits is packed in packed/digits\n")
    assert "1,437 train, 360 test; 10 classes, 8 × 8 pixels" in said[1]
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_prepare_takes_the_config_of_a_run(fit_digits: Callable[..., Path], sbn: Sbn) -> None:
    sbn("prepare", "--config", fit_digits("--trainer.max_epochs", "0") / "config.yaml")


@pytest.mark.parametrize("spelling", [["--config", "digits_sbn"], ["-c", "digits_sbn"], ["--config=digits_sbn"]])
def test_shipped_config_is_found_by_name_from_any_folder(spelling: list[str]) -> None:
    resolved = with_config_paths(["fit", *spelling])[-1]
    assert Path(resolved.removeprefix("--config=")) == config_folder() / "digits_sbn.yaml"


def test_file_of_the_users_own_comes_before_a_shipped_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits_sbn").write_text("seed_everything: 1")
    assert find_config("digits_sbn") == "digits_sbn"


FIT = ["fit", "--config", "digits_sbn"]
MISTAKES: dict[str, tuple[list[str], list[str]]] = {
    "config before the command": (["--config", "digits_sbn", "fit"], ["the command comes first: sbn fit"]),
    "unknown command": (["fitt"], ["'fitt'", "did you mean 'fit'?"]),
    "unknown config": (["fit", "--config", "digit_sbn"], ["'digit_sbn'", "did you mean 'digits_sbn'?", "cifar100_sbn"]),
    "config without a value": (["fit", "--config"], ["expected one argument"]),
    "nothing given": (["fit"], ["required", "model.backbone"]),
    "unknown option": ([*FIT, "--trainer.max_epoch", "3"], ["--trainer.max_epoch,", "'--trainer.max_epochs'?"]),
    "unknown section": ([*FIT, "--modle.backbone", "X"], ["--modle.backbone,", "'--model.backbone'?"]),
    "unknown key of the head": ([*FIT, "--model.head.scal", "1"], ["'scal'", "did you mean 'scale'?"]),
    "key of another class": (
        [*FIT, "--model.head", "SoftmaxHead", "--model.head.scale", "1"],
        ["there is no key 'scale' here; another class has one"],
    ),
    "unknown key of the data": ([*FIT, "--data.batchsize", "1"], ["data:", "'batchsize'", "'batch_size'?"]),
    "unknown head": ([*FIT, "--model.head", "Softmax"], ["model.head:", "'Softmax'", "'SoftmaxHead'?", "PEDCCHead"]),
    "unknown module": ([*FIT, "--model.head", "mine.Head"], ["model.head:", "no module 'mine'", "in this folder"]),
    "unknown backbone": ([*FIT, "--model.backbone", "ResNet19"], ["model.backbone:", "'ResNet18'?"]),
    "unknown data": ([*FIT, "--data", "CIFAR10"], ["data:", "'CIFAR10'", "did you mean 'CIFAR100'?"]),
    "unknown optimizer": ([*FIT, "--optimizer", "Sgd"], ["optimizer:", "'Sgd'", "AdamW"]),
    "text for a number": ([*FIT, "--optimizer.lr", "fast"], ["optimizer.lr:", "'fast' is no float"]),
    "text for a count": ([*FIT, "--trainer.max_epochs", "many"], ["trainer.max_epochs:", "'many' is no int"]),
    "text for the scale": ([*FIT, "--model.head.scale", "high"], ["model.head.scale:", "'high' is no float"]),
    "negative scale": ([*FIT, "--model.head.scale", "-1"], ["scale", "positive", "-1"]),
    "batch of one": ([*FIT, "--data.batch_size", "1"], ["batch_size is 1", "at least 2"]),
    "hold-out of everything": ([*FIT, "--data.validation_fraction", "1"], ["validation_fraction is 1", "[0, 1)"]),
    "more devices than cores": (
        [*FIT, "--trainer.accelerator", "cpu", "--trainer.devices", "999"],
        ["trainer.devices is 999", "CPU cores"],
    ),
    "dataset that is not there": (
        ["fit", "--config", "cifar100_sbn", "--data.root", "nowhere"],
        ["CIFAR100 is not in nowhere", "--data.root", "--data.download true"],
    ),
    "test before training": (["test", *FIT[1:]], ["runs/digits_sbn/checkpoints/last.ckpt", "sbn fit", "--ckpt_path"]),
    "predict before training": (["predict", *FIT[1:]], ["no trained checkpoint"]),
    "validate before training": (["validate", *FIT[1:]], ["no trained checkpoint"]),
    "best of no run": (["test", *FIT[1:], "--ckpt_path", "best"], ["checkpoints/best.ckpt"]),
    "missing checkpoint": (["test", *FIT[1:], "--ckpt_path", "my.ckpt"], ["no checkpoint file my.ckpt"]),
}


def answer(sbn: Sbn, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one-line answer to a command that cannot be carried out."""
    with pytest.raises(SystemExit) as end:
        sbn(*arguments)
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("sbn: ")
    assert text.count("\n") == 1, text
    return text


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_answered_in_one_line(
    mistake: str, sbn: Sbn, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments, expected = MISTAKES[mistake]
    text = answer(sbn, capsys, *arguments)
    assert all(part in text for part in expected), text
    assert not (tmp_path / "runs").exists()


CONFIG_MISTAKES = {
    "mistyped key": (
        "trainer: {max_epohcs: 3}\nmodel: {backbone: SmallCNN, head: SoftmaxHead}\ndata: Digits",
        ["trainer:", "'max_epohcs'", "did you mean 'max_epochs'?"],
    ),
    "mistyped setting of a callback": (
        "trainer: {callbacks: [{class_path: LogitHistogram, init_args: {bin: 3}}]}\n"
        "model: {backbone: SmallCNN, head: SoftmaxHead}\ndata: Digits",
        ["'bin'", "did you mean 'bins'?"],
    ),
    "class with a third key": (
        "model: {backbone: SmallCNN, head: {class_path: SoftmaxHead, init_arg: {}}}\ndata: Digits",
        ["model.head:", "class_path: NAME, init_args:"],
    ),
    "part that is not there": ("trainer: parts/nothing.yaml", ["'parts/nothing.yaml'", "relative"]),
    "no YAML": ("model: {backbone: [SmallCNN", ["expected ',' or ']'"]),
}


@pytest.mark.parametrize("mistake", CONFIG_MISTAKES)
def test_mistake_in_a_config_is_answered_in_one_line(
    mistake: str, sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    text, expected = CONFIG_MISTAKES[mistake]
    Path("my.yaml").write_text(text)
    said = answer(sbn, capsys, "fit", "--config", "my.yaml")
    assert all(part in said for part in expected), said


def test_bug_in_the_users_own_class_shows_its_traceback(fit_digits: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="a bug in the user's own head"):
        fit_digits("--model.head", "own_classes.BrokenHead")
