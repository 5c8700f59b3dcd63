"""The parser of the trainer's commands: what it answers and where it says the mistake is."""

import inspect
from collections.abc import Callable
from pathlib import Path

import jsonargparse
import pytest

from sbn_lightning.cli import jsonargparse_internals
from sbn_lightning.cli.locate import with_place
from sbn_lightning.cli.parser import ArgumentParser
from sbn_lightning.errors import UsageError

FIT = ["fit", "--config", "digits_sbn"]
MISTAKES: dict[str, tuple[list[str], list[str]]] = {
    "config without a value": (["fit", "--config"], ["--config needs a value"]),
    "nothing given": (["fit"], ["required", "model.backbone"]),
    "unknown section": ([*FIT, "--modle.backbone", "X"], ["--modle.backbone,", "'--model.backbone'?"]),
    "unknown key of the data": ([*FIT, "--data.batchsize", "1"], ["--data.batchsize:", "'batch_size'?"]),
    "unknown backbone": ([*FIT, "--model.backbone", "ResNet19"], ["--model.backbone:", "'ResNet18'?"]),
    "unknown data": ([*FIT, "--data", "CIFAR10"], ["--data:", "'CIFAR10'", "did you mean 'CIFAR100'?"]),
    "unknown optimizer": ([*FIT, "--optimizer", "Sgd"], ["--optimizer:", "'Sgd'", "AdamW"]),
    "text for the scale": ([*FIT, "--model.head.scale", "high"], ["--model.head.scale: 'high' is not a number"]),
    "negative scale": ([*FIT, "--model.head.scale", "-1"], ["--model.head.scale:", "positive", "-1"]),
    "batch of one": ([*FIT, "--data.batch_size", "1"], ["--data.batch_size: batch_size is 1", "at least 2"]),
    "hold-out of everything": ([*FIT, "--data.validation_fraction", "1"], ["validation_fraction is 1", "[0, 1)"]),
    "more devices than cores": (
        [*FIT, "--trainer.accelerator", "cpu", "--trainer.devices", "999"],
        ["--trainer.devices: trainer.devices is 999", "CPU cores"],
    ),
    "dataset that is not there": (
        ["fit", "--config", "cifar100_sbn", "--data.root", "nowhere"],
        ["CIFAR100 is not in nowhere", "--data.root", "--data.download true"],
    ),
    "test before training": (["test", *FIT[1:]], ["runs/digits_sbn/checkpoints/last.ckpt", "sbn fit", "--ckpt_path"]),
    "predict before training": (["predict", *FIT[1:]], ["there is no checkpoint"]),
    "validate before training": (["validate", *FIT[1:]], ["there is no checkpoint"]),
    "best of no run": (["test", *FIT[1:], "--ckpt_path", "best"], ["checkpoints/best.ckpt"]),
    "missing checkpoint": (["test", *FIT[1:], "--ckpt_path", "my.ckpt"], ["there is no checkpoint my.ckpt"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_answered_in_one_line(mistake: str, answer: Callable[..., str], tmp_path: Path) -> None:
    arguments, expected = MISTAKES[mistake]
    text = answer(*arguments)
    assert all(part in text for part in expected), text
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"run.lock"}


CONFIG_MISTAKES = {
    "mistyped setting of a callback": (
        "trainer:\n  callbacks:\n    - class_path: LogitHistogram\n      init_args: {bin: 3}\n",
        ["my.yaml, line 4: trainer.callbacks.bin: LogitHistogram has no key 'bin', did you mean 'bins'?"],
    ),
    "second callback": (
        "trainer:\n  callbacks:\n    - class_path: LogitHistogram\n    - class_path: Histogram\n",
        ["my.yaml, line 4: trainer.callbacks: there is no class 'Histogram', did you mean 'LogitHistogram'?"],
    ),
    "dotted key": ("model.head.init_args.scal: 3", ["my.yaml, line 1: model.head.scal: ", "'scal'", "'scale'?"]),
    "key of a part": (
        "\noptimizer: parts/sgd.yaml",
        ["parts/sgd.yaml, line 3: optimizer.lrr: SGD has no key 'lrr', did"],
    ),
    "value of a part": ("trainer: parts/trainer.yaml", ["parts/trainer.yaml, line 2: trainer.max_epochs: 'many' is"]),
    "value that a constructor refuses": (
        "model:\n  head:\n    class_path: ScaledBatchNormHead\n    init_args:\n      scale: -2\n",
        ["my.yaml, line 5: model.head.scale: scale must be positive, got -2"],
    ),
    "value that an optimizer refuses": (
        "optimizer:\n  class_path: torch.optim.SGD\n  init_args:\n    lr: -0.5\n",
        ["my.yaml, line 4: optimizer: Invalid learning rate: -0.5"],
    ),
    "value that the trainer refuses": (
        "trainer:\n  max_epochs: -7\n",
        ["my.yaml, line 2: trainer.max_epochs: `max_epochs` must be a non-negative integer"],
    ),
    "null": (
        "model:\n  head:\n    class_path: ScaledBatchNormHead\n    init_args:\n      scale: null\n",
        ["my.yaml, line 5: model.head.scale: null is not a valid float; omit the key to use its default"],
    ),
    "list of settings": ("trainer: [1]", ["my.yaml, line 1: trainer: [1] is not a set of settings"]),
    "negative seed": ("seed_everything: -1", ["my.yaml, line 1: seed_everything: -1 is not a seed"]),
    "syntax error": ("model: {backbone: [SmallCNN", ["my.yaml is not valid YAML, line ", "expected ',' or ']'"]),
    "syntax error in a part": ("trainer: parts/broken.yaml", ["parts/broken.yaml is not valid YAML, line 2: "]),
    "no settings": ("3", ["my.yaml does not contain settings, written KEY: VALUE"]),
    "no UTF-8": (b"seed_everything: \xa2", ["my.yaml is not UTF-8 text"]),
}
PARTS = {
    "sgd": "class_path: torch.optim.SGD\ninit_args:\n  lrr: 0.1\n",
    "trainer": "devices: 1\nmax_epochs: many\n",
    "broken": "devices: 1\n max_epochs: 1\n",
}


@pytest.mark.parametrize("mistake", CONFIG_MISTAKES)
def test_mistake_in_a_config_is_answered_with_file_and_line(mistake: str, answer: Callable[..., str]) -> None:
    Path("parts").mkdir()
    for name, part in PARTS.items():
        Path(f"parts/{name}.yaml").write_text(part)
    text, expected = CONFIG_MISTAKES[mistake]
    Path("my.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    said = answer(*FIT, "--config", "my.yaml")
    assert all(part in said for part in expected), said


@pytest.mark.parametrize(
    ("key", "text", "place"),
    [
        ("optimizer.lr", "'fast' is bad", "b.yaml, line 2"),  # the value that the text names
        ("optimizer.lr", "it is bad", "--optimizer.lr"),  # the last one overrides the others
        ("optimizer", "got 0.1", "a.yaml, line 3"),  # a value below the key
        ("optimizer.momentum", "it is required", "--optimizer"),  # the section, where the key itself is missing
    ],
)
def test_place_of_a_setting(key: str, text: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("optimizer:\n  init_args:\n    lr: 0.1\n")
    Path("b.yaml").write_text("optimizer:\n  lr: fast\n")
    arguments = ["fit", "--config", "a.yaml", "--config=b.yaml", "--optimizer", "SGD", "--optimizer.lr", "0.2"]
    assert with_place(UsageError(text, key), arguments) == f"{place}: {text}"


def test_error_without_a_place_stays_as_it_is() -> None:
    assert with_place(UsageError("model: it is bad", "model"), ["fit", "--data.root", "DIR"]) == "model: it is bad"
    assert with_place(UsageError("it is bad"), ["fit"]) == "it is bad"


def test_settings_of_another_class_are_forgotten(fit_digits: Callable[..., Path]) -> None:
    config = fit_digits("--trainer.max_epochs", "0", "--model.head", "AMSoftmaxHead") / "config.yaml"
    assert "scale: 3.0" not in config.read_text()  # of the config's scaled batch normalization


MOVED = "jsonargparse {} moved a private part: adapt sbn_lightning/cli/jsonargparse_internals.py, or keep 4.53"


def test_jsonargparse_still_has_the_parts_that_are_relied_on() -> None:
    version = jsonargparse.__version__
    function = getattr(jsonargparse._typehints, "discard_init_args_on_class_path_change", None)
    assert function is not None, MOVED.format(version)
    assert list(inspect.signature(function).parameters)[1:] == ["prev_val", "value"], MOVED.format(version)
    with jsonargparse_internals.settings_of_another_class_forgotten():
        assert jsonargparse._typehints.discard_init_args_on_class_path_change is jsonargparse_internals.forget_settings
    assert jsonargparse._typehints.discard_init_args_on_class_path_change is function
    assert [action.dest for action in jsonargparse_internals.actions_of(ArgumentParser())] == ["help"]
