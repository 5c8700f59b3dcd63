"""What users get wrong, besides what tests/cli and test_fit.py show: one line, exit code 2, nothing is changed."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

Sbn = Callable[..., None]
FIT = "fit --config digits_sbn"
PHOTOS = "fit --config image_folder_sbn --data.image_size 8 --trainer.max_epochs 1"

# What is wrong: the command, and what the answer must name.
TABLE: dict[str, tuple[str, list[str]]] = {
    "scale of 0": (f"{FIT} --model.head.scale 0", ["scale must be positive, got 0"]),
    "scale that is no number": (f"{FIT} --model.head.scale .nan", ["scale must be positive, got nan"]),
    "null for a scale": (f"{FIT} --model.head.scale null", ["--model.head.scale: null is not a valid float"]),
    "misspelt section": (
        f"{FIT} --config typo.yaml",
        ["typo.yaml, line 2: there is no key 'modle', did you mean 'model'?"],
    ),
    "config that contains itself": (f"{FIT} --config itself.yaml", ["a config contains itself"]),
    "misspelt key of a section": (
        f"{FIT} --config part.yaml",
        ["parts/schedule.yaml, line 3: lr_scheduler.stepsize: StepLR has no key 'stepsize', did you mean 'step_size'?"],
    ),
    "schedule without its length": (
        f"{FIT} --lr_scheduler CosineAnnealingLR",
        ["--lr_scheduler: CosineAnnealingLR needs a value for 'T_max'"],
    ),
    "schedule without what it watches": (
        f"{FIT} --lr_scheduler ReduceLROnPlateau",
        ["--lr_scheduler: ReduceLROnPlateau needs a value for 'monitor'"],
    ),
    "logger without a folder": (
        f"{FIT} --trainer.logger TensorBoardLogger",
        ["--trainer.logger: TensorBoardLogger needs a value for 'save_dir'"],
    ),
    "logger that is not installed": (f"{FIT} --trainer.logger CometLogger", ["--trainer.logger", "comet"]),
    "callback without what it watches": (
        f"{FIT} --trainer.callbacks EarlyStopping",
        ["--trainer.callbacks: EarlyStopping needs a value for 'monitor'"],
    ),
    "rule of a callback": (
        f"{FIT} --trainer.callbacks EarlyStopping --trainer.callbacks.monitor x --trainer.callbacks.mode up",
        ["--trainer.callbacks.mode: `mode` can be min, max, got up"],
    ),
    "validation that never comes": (
        f"{FIT} --trainer.val_check_interval 1000",
        ["--trainer.val_check_interval", "`val_check_interval` (1000) must be less than or equal"],
    ),
    "missing part of a config": (
        f"{FIT} --config missing_part.yaml",
        ["missing_part.yaml, line 1: lr_scheduler: there is no config file 'parts/nothing.yaml'"],
    ),
    "negative momentum": (f"{FIT} --optimizer.momentum -1", ["--optimizer.momentum: Invalid momentum value: -1"]),
    "checkpoint every 0 steps": (f"{FIT} --checkpoint.every_n_steps 0", ["--checkpoint.every_n_steps: ", "0"]),
    "unknown profiler": (f"{FIT} --trainer.profiler Foo", ["--trainer.profiler: ", "simple"]),
    "devices that are no numbers": (f"{FIT} --trainer.accelerator cpu --trainer.devices [1,b]", ["--trainer.devices"]),
    "negative margin": (
        f"{FIT} --model.head AMSoftmaxHead --model.head.margin -1",
        ["margin must not be negative, got -1"],
    ),
    "too few dimensions for the centroids": (
        f"{FIT} --model.head PEDCCHead --model.head.embedding_dim 8",
        ["10", "8", "9"],
    ),
    "momentum above 1": (f"{FIT} --model.head.momentum 2", ["momentum must be in (0, 1], got 2"]),
    "backbone of no width": (f"{FIT} --model.backbone.width 0", ["width"]),
    "head in the backbone's place": (f"{FIT} --model.backbone SoftmaxHead", ["model.backbone", "SoftmaxHead"]),
    "no dataset": ("fit --data.root data --model.backbone SmallCNN --model.head SoftmaxHead", ["data:", "Digits"]),
    "number of epochs below -1": (f"{FIT} --trainer.max_epochs -2", ["max_epochs", "-2"]),
    "negative learning rate": (f"{FIT} --optimizer.lr -1", ["Invalid learning rate: -1"]),
    "negative share of batches": (f"{FIT} --trainer.limit_train_batches -1", ["limit_train_batches", "-1"]),
    "unknown precision": (f"{FIT} --trainer.precision 13", ["precision", "13"]),
    "unknown accelerator": (f"{FIT} --trainer.accelerator abacus", ["accelerator", "abacus"]),
    "unknown strategy": (f"{FIT} --trainer.strategy alone", ["strategy", "alone"]),
    "clipping under a fused optimizer": (
        f"{FIT} --optimizer.fused true --trainer.precision bf16-mixed --trainer.gradient_clip_val 1",
        ["--trainer.gradient_clip_val: gradients cannot be clipped", "--optimizer.fused false"],
    ),
    "no device": (f"{FIT} --trainer.accelerator cpu --trainer.devices 0", ["trainer.devices is 0", "from 1 to"]),
    "all of no GPUs": (f"{FIT} --trainer.accelerator cpu --trainer.devices -1", ["trainer.devices is -1", "from 1 to"]),
    "chance level before the first epoch": (f"{FIT} --chance_level.epochs 0", ["epochs is 0"]),
    "two folders for a run": (f"{FIT} --trainer.default_root_dir here", ["trainer.default_root_dir", "--run_dir"]),
    "negative seed of the data": (f"{FIT} --seed_everything -1", ["--seed_everything: -1 is not a seed"]),
    "negative padding": (f"{FIT} --data.crop_padding -1", ["padding", "-1"]),
    "file as the run's folder": (f"{FIT} --run_dir file", ["--run_dir: ", "file is not a folder"]),
    "file above the run's folder": (f"{FIT} --run_dir file/run", ["--run_dir: ", "file is not a folder"]),
    "file as the packed images' folder": (f"{FIT} --data.packed_dir file", ["file", "--data.packed_dir"]),
    "folder as a checkpoint": ("test --config digits_sbn --ckpt_path photos", ["there is no checkpoint photos"]),
    "folder without a run": ("test --config photos", ["'photos'", "neither a file"]),
    "empty file as a checkpoint": (
        "test --config digits_sbn --ckpt_path empty",
        ["empty is not a checkpoint", "safely"],
    ),
    "picture as a checkpoint": (
        "test --config digits_sbn --ckpt_path photos/cat/0.png",
        ["photos/cat/0.png is not a checkpoint", "safely"],
    ),
    "weights alone": ("test --config digits_sbn --ckpt_path weights.pt", ["weights.pt was not written by sbn fit"]),
    "checkpoint without weights": ("test --config digits_sbn --ckpt_path list.pt", ["list.pt", "'state_dict'"]),
    "checkpoint of another kind of model": (
        "test --config digits_sbn --ckpt_path linear.pt",
        ["linear.pt does not fit the model", "missing"],
    ),
    "missing folder of images": (f"{PHOTOS} --data.root nowhere", ["nowhere", "--data.root"]),
    "file as the folder of images": (f"{PHOTOS} --data.root file", ["file", "--data.root"]),
    "empty class": (f"{PHOTOS} --data.root photos", ["dog", "no image"]),
    "table without a column": (f"{PHOTOS} --data.root photos --data.csv no_label.csv", ["no column label"]),
    "table that names no image": (
        f"{PHOTOS} --data.root photos --data.csv absent.csv",
        ["cow.png", "no such file"],
    ),
    "table that leads out": (
        f"{PHOTOS} --data.root photos --data.csv outside.csv",
        ["../secret.png", "outside root"],
    ),
    "missing CIFAR-100 in prepare": (
        "prepare --config cifar100_sbn --data.root nowhere",
        ["CIFAR100 is not in nowhere"],
    ),
}


@pytest.fixture
def place(tmp_path: Path, sbn: Sbn) -> Path:
    """A folder with what the commands of the table name."""
    (tmp_path / "file").write_text("a file of the user's own")
    (tmp_path / "empty").touch()
    (tmp_path / "parts").mkdir()
    (tmp_path / "typo.yaml").write_text("# a typo\nmodle:\n  head: SoftmaxHead\n")
    (tmp_path / "itself.yaml").write_text("trainer: &trainer [*trainer]\n")
    (tmp_path / "missing_part.yaml").write_text("lr_scheduler: parts/nothing.yaml\n")
    (tmp_path / "part.yaml").write_text("lr_scheduler: parts/schedule.yaml\n")
    (tmp_path / "parts/schedule.yaml").write_text("class_path: StepLR\ninit_args:\n  stepsize: 1\n")
    torch.save([1, 2], tmp_path / "list.pt")
    linear = {"state_dict": torch.nn.Linear(2, 2).state_dict()}
    torch.save(linear, tmp_path / "weights.pt")
    torch.save(linear | {"pytorch-lightning_version": "2.6.6"}, tmp_path / "linear.pt")
    for folder in ("cat", "cow", "dog"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    for name in ("cat/0", "cat/1", "cow/0", "cow/1"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"photos/{name}.png")
    for name, columns, row in (
        ("no_label", ["path", "split"], ["cat/0.png", "train"]),
        ("absent", ["path", "label"], ["cow.png", "cow"]),
        ("outside", ["path", "label"], ["../secret.png", "cow"]),
    ):
        with (tmp_path / f"photos/{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([columns, row])
    return tmp_path


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("wrong", TABLE)
def test_bad_input_is_answered_in_one_line_and_changes_nothing(
    wrong: str, place: Path, sbn: Sbn, digits_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, expected = TABLE[wrong]
    arguments = command.split()
    if "digits_sbn" in arguments:
        arguments += ["--data.root", str(digits_root)]
    before = snapshot(place)
    with pytest.raises(SystemExit) as end:
        sbn(*arguments)
    assert end.value.code == 2
    error = capfd.readouterr().err
    (text,) = [line for line in error.splitlines() if line.startswith("sbn: ")]
    assert error.endswith(f"{text}\n")
    assert "Traceback" not in error
    assert all(part in text for part in expected), text
    after = snapshot(place)
    assert {path: after.get(path) for path in before} == before
    assert {path for path in after if path.suffix in (".ckpt", ".json") and "fit" not in path.name} - set(before) <= {
        path for path in after if "packed" in path.parts
    }


def test_batch_size_that_processes_cannot_share_is_named(
    sbn: Sbn, digits_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sbn_lightning import ImageDataModule

    monkeypatch.setattr(ImageDataModule, "_rank", lambda self: (0, 2))  # without starting the second
    with pytest.raises(SystemExit) as end:
        sbn(*FIT.split(), "--data.root", digits_root, "--data.batch_size", 33)
    assert end.value.code == 2
    assert "batch_size 33 cannot be split evenly over 2 processes" in capsys.readouterr().err


def test_missing_data_is_not_looked_for_on_the_network(
    sbn: Sbn, digits_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    from sbn_lightning.data import download

    def offline(*arguments: object, **settings: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(download, "urlopen", offline)
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, offline)
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    sbn("prepare", "--config", "digits_sbn", "--data.packed_dir", "packed")
    sbn(
        *FIT.split(), "--data.packed_dir", "packed", "--model.backbone.width", 4, "--trainer.max_epochs", 1,
        "--trainer.enable_progress_bar", False, "--run_dir", "run",
    )  # fmt: skip
    sbn("test", "--config", "run")
    for command in ("prepare", "fit"):
        with pytest.raises(SystemExit) as end:
            sbn(command, "--config", "cifar100_sbn", "--data.root", "nowhere")
        assert end.value.code == 2
    with pytest.raises(AssertionError, match="the network was asked"):  # only where it is asked for
        sbn("prepare", "--config", "cifar100_sbn", "--data.root", "nowhere", "--data.download", True)


def test_tensorboard_is_proposed_and_started_for_this_machine_only(capsys: pytest.CaptureFixture[str]) -> None:
    from sbn_lightning.callbacks.summary_text import end_text
    from sbn_lightning.run.records import FitResult

    makefile = Path(__file__).parent.parent / "Makefile"
    hint = end_text(FitResult(seconds=1.0, last_epoch=1, last={}), Path("runs/a"))
    lines = [*makefile.read_text().splitlines(), *hint.splitlines()]
    commands = [line for line in lines if "tensorboard --" in line]
    assert len(commands) == 2
    assert all("--host localhost" in command for command in commands)
