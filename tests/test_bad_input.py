"""What users get wrong, besides what tests/cli and test_fit.py show: one line, exit code 2, nothing is changed."""

import csv
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sbn_lightning import ImageDataModule
from sbn_lightning.callbacks.summary_text import end_rows
from sbn_lightning.data import download
from sbn_lightning.run.records import FitResult
from sbn_lightning.terminal import two_columns

Sbn = Callable[..., None]
FIT = "fit --config digits_sbn"
SWA = "--trainer.callbacks StochasticWeightAveraging --trainer.callbacks"
PHOTOS = "fit --config image_folder_sbn --data.image_size 8 --trainer.max_epochs 1"

# What is wrong, as a command or as options of FIT: what the answer must name.
TABLE: dict[str, list[str]] = {
    "test --config runs/nope": ["there is no run in runs/nope (there is no run here yet: sbn fit --config digits_sbn"],
    "fit": ["sbn: name a config, as in: sbn fit --config digits_sbn (", "DATASET_HEAD for cifar100, digits, "],
    "fit digits_softmax --trainer.max_epochs 3": ["name a config, as in: sbn fit --config digits_softmax ("],
    "fit --data Digits": ["'model.backbone' is required: give a config, as by --config digits_sbn, or --model.back"],
    "test --run_dir x": [
        "name the folder of a run, as in: sbn test --config runs/digits_sbn (there is no run here yet"
    ],
    "train --config digits_sbn": ["there is no command 'train', did you mean 'fit'? (fit, validate, test, "],
    "help": ["there is no command 'help', did you mean '--help'?"],
    "fit --optimizer.lr 0.1 --config digits_sbn": ["--optimizer.lr stands before --config, which would overwrite it"],
    "check-resume": ["name a config, as in: sbn check-resume --config digits_sbn"],
    "fit --config digit_sbn": ["there is no config 'digit_sbn', did you mean 'digits_sbn'? (sbn comes with DATASET"],
    "test --config runs/x/checkpoints/last.ckpt": ["last.ckpt is a checkpoint: name the folder", "--ckpt_path"],
    "--lr 0.1": ["there is no option --lr, did you mean '--optimizer.lr'?"],
    "--epochs 3": ["there is no option --epochs, did you mean '--trainer.max_epochs'?"],
    "--seed 3": ["there is no option --seed, did you mean '--seed_everything'?"],
    "--batchsize 3": ["there is no option --batchsize; see --help"],
    "--seed_everything x": ["--seed_everything: 'x' is not true or false or an integer"],
    "--trainer.accelerator gpu": ["--trainer.accelerator: torch ", "finds no such device (gpu)", "accelerator cpu"],
    "--trainer.accelerator mps": ["--trainer.accelerator: torch ", "finds no such device (mps)", "accelerator cpu"],
    "fit --config small": ["the config 'small' changes another config: ", "sbn fit --config digits_sbn --config small"],
    "fit --config=fast --config digits_sbn": ["the config 'fast' changes another config: "],
    "fit --config image_folder_sbn --data.root nowhere": ["nowhere/; that folder is not there: name the folder whose"],
    "fit --config": ["--config needs a value"],
    "--data CIFAR10": ["--data: there is no class 'CIFAR10', did you mean 'CIFAR100'?"],
    "--data.evaluation_batch_size 0": ["--data.evaluation_batch_size: ", "is 0; a batch holds 1 image or more"],
    "--data.batch_size 1": ["--data.batch_size: batch_size is 1", "at least 2"],
    "--data.validation_fraction 1": ["validation_fraction is 1", "[0, 1)"],
    "--trainer.accelerator cpu --trainer.devices 999": ["--trainer.devices: it is 999", "CPU cores"],
    "test --config digits_sbn": ["runs/digits_sbn/checkpoints/last.ckpt", "contains no trained run", "sbn fit"],
    "validate --config digits_sbn": ["the checkpoint runs/"],
    "test --config digits_sbn --ckpt_path best": ["checkpoints/best.ckpt"],
    "test --config digits_sbn --ckpt_path my.ckpt": ["the checkpoint my.ckpt does not exist"],
    "--model.head.scale 0": ["scale must be positive, got 0"],
    "--model.head.scale .nan": ["--model.head.scale: scale must be a finite number, got nan"],
    "--model.head.scale .inf": ["--model.head.scale: scale must be a finite number, got inf"],
    "--model.head.scale null": ["--model.head.scale: null is not a number; omit the key to use its default"],
    "--lr_scheduler.gamma null": ["--lr_scheduler.gamma: null is not a number"],
    "--config typo.yaml": ["typo.yaml, line 2: there is no key 'modle', did you mean 'model'?"],
    "--config itself.yaml": ["a config contains itself"],
    "--config part.yaml": [
        "parts/schedule.yaml, line 3: lr_scheduler.stepsize: StepLR has no key 'stepsize', did you mean 'step_size'?"
    ],
    "--lr_scheduler CosineAnnealingLR": ["--lr_scheduler: CosineAnnealingLR needs a value for 'T_max'"],
    "--lr_scheduler ReduceLROnPlateau": ["--lr_scheduler: ReduceLROnPlateau needs a value for 'monitor'"],
    "--trainer.logger TensorBoardLogger": ["--trainer.logger: TensorBoardLogger needs a value for 'save_dir'"],
    "--trainer.logger CometLogger": ["--trainer.logger", "comet"],
    "--trainer.callbacks EarlyStopping": ["--trainer.callbacks: EarlyStopping needs a value for 'monitor'"],
    "--trainer.callbacks EarlyStopping --trainer.callbacks.monitor x --trainer.callbacks.mode up": [
        "--trainer.callbacks.mode: `mode` can be min, max, got up"
    ],
    "--trainer.val_check_interval 1000": [
        "--trainer.val_check_interval",
        "`val_check_interval` (1000) must be less than or equal",
    ],
    "--config missing_part.yaml": [
        "missing_part.yaml, line 1: lr_scheduler: there is no config file 'parts/nothing.yaml'"
    ],
    "--optimizer.momentum -1": ["--optimizer.momentum: Invalid momentum value: -1"],
    "--checkpoint.every_n_steps 0": ["--checkpoint.every_n_steps: ", "0"],
    "--trainer.profiler Foo": ["--trainer.profiler: ", "simple"],
    "--trainer.accelerator cpu --trainer.devices [1,b]": ["--trainer.devices"],
    "--model.head AMSoftmaxHead --model.head.margin -1": ["margin must be at least 0, got -1"],
    "--model.head PEDCCHead --model.head.embedding_dim 8": ["10", "8", "9"],
    "--model.head.momentum 2": ["momentum must be in (0, 1], got 2"],
    "--model.backbone.width 0": ["width"],
    "--model.backbone SoftmaxHead": ["model.backbone", "SoftmaxHead"],
    "fit --data.root data --model.backbone SmallCNN --model.head SoftmaxHead": ["data:", "Digits"],
    "--trainer.max_epochs -2": ["max_epochs", "-2"],
    "--optimizer.lr -1": ["Invalid learning rate: -1"],
    "--trainer.limit_train_batches 0": ["--trainer.limit_train_batches: it is 0, so nothing would be trained"],
    "--trainer.fast_dev_run true --ckpt_path last": ["--trainer.fast_dev_run: it tries a new training"],
    "--trainer.max_epochs 0": ["--trainer.max_epochs: it is 0, so nothing would be trained"],
    "--trainer.max_steps 0": ["--trainer.max_steps: it is 0"],
    "test --config digits_sbn --trainer.limit_test_batches 0": ["is 0, so nothing would be evaluated"],
    "--trainer.limit_train_batches -1": ["limit_train_batches", "-1"],
    "--trainer.precision 13": ["precision", "13"],
    "--trainer.accelerator abacus": ["accelerator", "abacus"],
    "--trainer.strategy alone": ["strategy", "alone"],
    "--optimizer.fused true --trainer.precision bf16-mixed --trainer.gradient_clip_val 1": [
        "--trainer.gradient_clip_val: gradients cannot be clipped",
        "--optimizer.fused false",
    ],
    "--trainer.accumulate_grad_batches 0": ["--trainer.accumulate_grad_batches: it is 0, and must be 1 or larger"],
    "--trainer.check_val_every_n_epoch 0": ["--trainer.check_val_every_n_epoch: it is 0, and must be 1 or larger"],
    "--trainer.max_time soon": ["--trainer.max_time: `Timer(duration='soon')` is not a valid duration", "DD:HH:MM:SS"],
    "--trainer.plugins BitsandbytesPrecision --trainer.plugins.mode nf4": ["--trainer.plugins: Requirement 'bitsandb"],
    "--optimizer NAdam --optimizer.capturable true": ["--optimizer.capturable: If capturable=True"],
    "--data.crop_padding 8": ["--data.crop_padding: crop_padding is 8", "side of 8 pixels", "below 8"],
    "--config number.yaml --trainer.max_epochs 1": ["trainer: a config gives it a value that is not a set of settings"],
    "--model.backbone VGG16": ["--model.backbone: VGG16 takes images of 32×32 or more, and these are 8×8"],
    "--trainer.callbacks EMAWeightAveraging --trainer.callbacks.device x": [
        "--trainer.callbacks.device: ",
        "cpu, cuda",
    ],
    "--trainer.plugins [MixedPrecision] --trainer.plugins.precision bf16-mixed --trainer.plugins.device x": [
        "plugins.device: Expected one of cpu, cuda"
    ],
    "--config plugin.yaml": ["plugin.yaml, line 1: trainer.plugins: Requirement 'torch_xla"],
    "--config nothing.yaml": ["nothing.yaml, line 1: optimizer: there is no class ''"],
    "--lr_scheduler StepLR --lr_scheduler.step_size 0": ["--lr_scheduler: integer modulo by zero"],
    f"--trainer.accumulate_grad_batches {2**70}": ["--trainer.accumulate_grad_batches: 1180591620717411303424 is too"],
    f"--model.backbone.width {2**32}": ["there is not enough memory for another ", "--data.batch_size"],
    f"{SWA}.swa_lrs [0.1,0.2]": ["--trainer.callbacks: swa_lr must have the same length as optimizer.param_groups"],
    f"{SWA}.swa_lrs 1 --trainer.callbacks.annealing_epochs -1": [
        "--trainer.callbacks.annealing_epochs: anneal_epochs must be equal or greater than 0, got -1"
    ],
    "--trainer.profiler AdvancedProfiler --trainer.profiler.dump_stats true": ["set --trainer.profiler.dirpath DIR"],
    "--config int.yaml": ["int.yaml is not valid YAML: a value does not fit its tag", "'7.5'"],
    "--config date.yaml": ["date.yaml is not valid YAML: a value does not fit its tag, or is not a date", "month"],
    "--config twice.yaml": ["twice.yaml is not valid YAML, line 4: the key 'max_epochs' stands there for the second"],
    "--config tab.yaml": ["trainer.max_epochs: 'x' is not an integer"],
    "--trainer.accelerator cpu --trainer.devices 0": ["trainer.devices: it is 0", "must be from 1 to"],
    "--trainer.accelerator cpu --trainer.devices -1": ["trainer.devices: it is -1", "must be from 1 to"],
    "--chance_level.epochs 0": ["epochs is 0"],
    "--trainer.default_root_dir here": ["trainer.default_root_dir", "--run_dir"],
    "--seed_everything -1": ["--seed_everything: -1 is not a seed"],
    "--seed_everything 4294967296": ["--seed_everything: 4294967296 is not a seed; a seed is from 0 to 4294967295"],
    "--data.crop_padding -1": ["padding", "-1"],
    "--run_dir file": ["--run_dir: ", "file is not a folder"],
    "--run_dir file/run": ["--run_dir: ", "file is not a folder"],
    "--data.packed_dir file": ["file", "--data.packed_dir"],
    "test --config digits_sbn --ckpt_path photos": ["the checkpoint photos does not exist"],
    "test --config photos": ["photos is not the folder of a run, which has a config.yaml"],
    "test --config digits_sbn --ckpt_path empty": ["empty is not a checkpoint", "safely"],
    "test --config digits_sbn --ckpt_path photos/cat/0.png": ["photos/cat/0.png is not a checkpoint", "safely"],
    "test --config digits_sbn --ckpt_path weights.pt": ["weights.pt was not written by sbn fit"],
    "test --config digits_sbn --ckpt_path list.pt": ["list.pt", "'state_dict'"],
    "test --config digits_sbn --ckpt_path linear.pt": ["linear.pt does not fit the model", "missing"],
    "--model.backbone ResNet18 --model.backbone.stem imagenet --model.backbone.weights IMAGENET1K_V1": [
        "--model.backbone.weights: weights 'IMAGENET1K_V1' of resnet18 are not on this machine",
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "torch_home/hub/checkpoints/resnet18-f37072fd.pth",
        "--model.backbone.download true",
    ],
    f"--data.packed_dir {'a' * 5000}": ["File name too long"],
    f"{PHOTOS} --data.root {'b/' * 3000}": ["the path b/b", "… of 6,0", "characters is too long for this system"],
    f"--run_dir {'a' * 300}": ["the path aaa", "… of 300 characters is too long for this system"],
    f"--ckpt_path {'a' * 300}": ["the path aaa", "… of 300 characters is too long for this system"],
    f"{PHOTOS} --data.root nowhere": ["nowhere", "--data.root"],
    f"{PHOTOS} --data.root file": ["file", "--data.root"],
    f"{PHOTOS} --data.root photos": ["dog", "no image"],
    f"{PHOTOS} --data.root photos --data.csv no_label.csv": ["no column label"],
    f"{PHOTOS} --data.root photos --data.csv absent.csv": ["cow.png", "no such file"],
    f"{PHOTOS} --data.root photos --data.csv outside.csv": ["../secret.png", "outside root"],
    "prepare --config cifar100_sbn --data.root nowhere": [
        "the dataset is not in nowhere",
        "--data.root",
        "--data.download true",
    ],
    "fitt": ["there is no command 'fitt', did you mean 'fit'?"],
}


@pytest.fixture
def place(tmp_path: Path, sbn: Sbn, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the commands of the table name."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    (tmp_path / "file").write_text("a file of the user's own")
    (tmp_path / "empty").touch()
    (tmp_path / "parts").mkdir()
    (tmp_path / "typo.yaml").write_text("# a typo\nmodle:\n  head: SoftmaxHead\n")
    (tmp_path / "itself.yaml").write_text("trainer: &trainer [*trainer]\n")
    (tmp_path / "missing_part.yaml").write_text("lr_scheduler: parts/nothing.yaml\n")
    (tmp_path / "number.yaml").write_text("trainer: 1\n")
    (tmp_path / "int.yaml").write_text("trainer: {max_epochs: !!int 7.5}\n")
    (tmp_path / "date.yaml").write_text("run_dir: 2026-99-99\n")
    (tmp_path / "plugin.yaml").write_text("trainer: {plugins: [{class_path: XLAPrecision}]}\n")
    (tmp_path / "nothing.yaml").write_text("optimizer: ''\n")
    (tmp_path / "twice.yaml").write_text("trainer:\n  max_epochs: 3\n  log_every_n_steps: 10\n  max_epochs: 30\n")
    (tmp_path / "tab.yaml").write_text("chance_level: \t\n  epochs: 3\ntrainer: {max_epochs: x}\n")
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
    expected = TABLE[wrong]
    arguments = (f"{FIT} {wrong}" if wrong.startswith("-") else wrong).split()
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
    assert before.items() <= after.items()
    new = [path for path in after.keys() - before.keys() if ".packed" not in path.parts]
    assert not [path for path in new if path.suffix in (".ckpt", ".json")]


def test_batch_size_that_processes_cannot_share_is_named(
    digits_root: Path, answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageDataModule, "_rank", lambda self: (0, 2))  # without starting the second
    text = answer(*FIT.split(), "--data.root", str(digits_root), "--data.batch_size", "33")
    assert "batch_size 33 cannot be split evenly over 2 processes" in text


def test_missing_data_is_not_looked_for_on_the_network(
    sbn: Sbn, answer: Callable[..., str], fit_digits: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*arguments: object, **settings: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(download, "urlopen", offline)
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, offline)
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    sbn("prepare", "--config", "digits_sbn", "--data.packed_dir", "packed")
    fit_digits("--data.packed_dir", "packed", "--trainer.max_epochs", "1")
    sbn("test", "--config", "run")
    missing = ("--config", "cifar100_sbn", "--data.root", "nowhere")
    for command in ("prepare", "fit"):
        assert "the dataset is not in nowhere" in answer(command, *missing)
    with pytest.raises(AssertionError, match="the network was asked"):  # only where it is asked for
        sbn("prepare", *missing, "--data.download", True)


def test_tensorboard_is_proposed_and_started_for_this_machine_only(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1").touch()
    makefile = Path(__file__).parent.parent / "Makefile"
    rows = end_rows(FitResult(seconds=1.0, last_epoch=1, last={}), {}, tmp_path)
    lines = [*makefile.read_text().splitlines(), *two_columns(*rows).splitlines()]
    commands = [line for line in lines if "tensorboard --" in line]
    assert len(commands) == 2
    assert all("--host localhost" in command for command in commands)
