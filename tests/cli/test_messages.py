"""Every report of jsonargparse that has an answer: the real parser gives the report, and the user reads the answer."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbn_lightning.cli import messages, parser
from sbn_lightning.cli.messages import ROWS

OPTIONS = {  # what jsonargparse reports: the options of sbn fit after --config digits_sbn, the answer
    "unrecognized arguments: --trainer.max_epoch": (
        "--trainer.max_epoch 1",
        "there is no option --trainer.max_epoch, did you mean '--trainer.max_epochs'?",
    ),
    "unrecognized arguments: stray": ("stray", "'stray' is not the value of an option"),
    "argument --run_dir: expected one argument": ("--run_dir", "--run_dir needs a value: --run_dir VALUE"),
    "the following arguments are required: T_max": (
        "--lr_scheduler CosineAnnealingLR",
        "--lr_scheduler: CosineAnnealingLR needs a value for 'T_max', among its init_args or as --lr_scheduler.T_max ",
    ),
    "No module named 'nothing'. Got value: nothing.yaml": (
        "--model.head nothing.yaml",
        "--model.head: there is no config file 'nothing.yaml'",
    ),
    "Expected an import path or a subclass spec, but got [1, 2]": (
        "--model.head [1,2]",
        "--model.head: a class is written {class_path: NAME",
    ),
    "Option 'scal' is not accepted": (
        "--model.head.scal 1",
        "--model.head.scal: ScaledBatchNormHead has no key 'scal', did you mean 'scale'?",
    ),
    "Option 'scale' is not accepted": (
        "--model.head SoftmaxHead --model.head.scale 1",
        "--model.head.scale: SoftmaxHead has no key 'scale'; it has no keys at all",
    ),
    "Option 'x' is not accepted": (
        "--trainer.callbacks LogitHistogram --trainer.callbacks.x 1",
        "--trainer.callbacks.x: LogitHistogram has no key 'x'; its keys are lower, upper, bins, picture_every_n_epochs",
    ),
    "Expected a dot import path string: Softmax": (
        "--model.head Softmax",
        "--model.head: there is no class 'Softmax', did you mean 'SoftmaxHead'? (known are AMSoftmaxHead, ",
    ),
    "Expected a dot import path string: Sgd": (
        "--optimizer Sgd",
        "--optimizer: there is no class 'Sgd', did you mean 'S",
    ),
    "Expected a <class 'float'>. Got value: NestedArg(key='x', val='1')": (
        "--model.head.scale.x 1",
        "--model.head.scale.x: there is no key 'x'",
    ),
    "Expected a typing.Literal[64, 32, 16]": (
        "--trainer.precision 13",
        "--trainer.precision: '13' is not one of 64, 32, 16, 'transformer-engine'",
    ),
    "Expected a <class 'float'>": ("--optimizer.lr fast", "--optimizer.lr: 'fast' is not a number"),
    "Expected a <class 'int'>. Got value: None": (
        "--data.batch_size null",
        "--data.batch_size: null is not an integer; omit the key to use its default",
    ),
    "Expected a <class 'bool'>": ("--auto_resume x", "--auto_resume: 'x' is not true or false"),
    "Expected a <class 'collections.abc.Iterable'>": (
        "--lr_scheduler.milestones x",
        "--lr_scheduler.milestones: 'x' is not a list",
    ),
    "No module named 'mine'": (
        "--model.head mine.Head",
        "--model.head: there is no module 'mine', neither in this folder nor installed",
    ),
    "module 'torch.optim' has no attribute 'Sgd'": (
        "--optimizer torch.optim.Sgd",
        "--optimizer: there is no 'Sgd' in torch.optim, did you mean 'SGD'?",
    ),
    "Expected 'torch.nn.Linear' to be a subclass of <class 'Head'>": (
        "--model.head torch.nn.Linear",
        "--model.head: torch.nn.Linear is not a subclass of Head",
    ),
    "Import path does not correspond to a subclass of Optimizer": (
        "--optimizer torch.nn.Linear",
        "--optimizer: torch.nn.Linear is not a subclass of Optimizer",
    ),
}
CONFIGS = {  # what jsonargparse reports: a config given after digits_sbn, the answer
    "Option 'modle.head' is not accepted": (
        "# a typo\nmodle: {head: SoftmaxHead}",
        "my.yaml, line 2: there is no key 'modle', did you mean 'model'?",
    ),
    "Group 'trainer' does not accept option 'max_epohcs'": (
        "trainer:\n  max_epohcs: 3",
        "my.yaml, line 2: there is no key 'trainer.max_epohcs', did you mean 'trainer.max_epochs'?",
    ),
    "given class_path 'lightning.pytorch.cli.ReduceLROnPlateau': the following arguments are required: monitor": (
        "lr_scheduler:\n  class_path: ReduceLROnPlateau\n  init_args: {factor: 0.1}",
        "my.yaml, line 2: lr_scheduler: ReduceLROnPlateau needs a value for 'monitor', among its init_args",
    ),
    "Config file loop detected: my.yaml -> my.yaml": (
        "trainer: my.yaml",
        "my.yaml, line 1: trainer: config files name each other in a circle: my.yaml -> my.yaml",
    ),
    'Unable to load config "parts/nothing.yaml"': (
        "trainer: parts/nothing.yaml",
        "my.yaml, line 1: trainer: there is no config file 'parts/nothing.yaml' (a path is relative to the file",
    ),
    "Problem with given class_path 'nothing.yaml'": (
        "optimizer: nothing.yaml",
        "my.yaml, line 1: optimizer: there is no config file 'nothing.yaml'",
    ),
    "Option 'class_path' is not accepted": (
        "model: {head: {class_path: SoftmaxHead, init_arg: {}}}",
        "my.yaml, line 1: model.head: a class is written {class_path: NAME, init_args: {KEY: VALUE}}",
    ),
    "Dict must include a class_path": (
        "model: {head: {clas_path: SoftmaxHead, init_args: {}}}",
        "model.head: a class is written {class_path: NAME",
    ),
    "'int' object has no attribute 'keys'": (
        "model: {head: {class_path: SoftmaxHead, init_args: 3}}",
        "model.head: a class is written {class_path: NAME",
    ),
    "Not a valid subclass of Callback. Got value: 3": (
        "trainer: {callbacks: [3]}",
        "trainer.callbacks: a class is written {class_path: NAME",
    ),
    "Key must be a string, got: 1.": ("1: 2", "the key 1 in a config is not a name"),
    'Empty nested key: "".': ("'': 2", 'the key "" in a config is not a name'),
    "argument of type 'float' is not iterable": (
        "data: {class_path: 3.5}",
        "data: a class is written {class_path: NAME",
    ),
    "unhashable type: 'dict'": (
        "model: {head: {class_path: {}}}",
        "model.head: a class is written {class_path: NAME",
    ),
    "Not a valid subclass of ImageDataModule": ("data: 3.5", "data: a class is written {class_path: NAME"),
    "Expected a tuple with 2 elements. Got value: [3]": (
        "optimizer: {class_path: Rprop, init_args: {etas: [3]}}",
        "optimizer.etas: [3] is not a list of 2 values",
    ),
    "Expected a <class 'collections.abc.Sequence'>. Got value: 0.1": (
        "lr_scheduler: {class_path: ChainedScheduler, init_args: {schedulers: 0.1}}",
        "lr_scheduler.schedulers: '0.1' is not a list",
    ),
    "Expected a <class 'tuple'>. Got value: 3": (
        "optimizer: {class_path: Rprop, init_args: {etas: 3}}",
        "optimizer.etas: '3' is not a list",
    ),
    "Unexpected config: seed_everything:": (
        "seed_everything:",
        "a config contains settings, written KEY: VALUE, and not 'seed_everything:'",
    ),
}
CASES = OPTIONS | CONFIGS


@pytest.mark.parametrize("sentence", CASES)
def test_report_of_the_real_parser_is_answered(
    sentence: str, answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = []

    def recorded(text: str, *arguments: Any) -> Any:
        reports.append(" ".join(text.split()))
        return messages.readable(text, *arguments)

    monkeypatch.setattr(parser, "readable", recorded)
    written, expected = CASES[sentence]
    Path("my.yaml").write_text(written)
    options = written.split() if sentence in OPTIONS else ["--config", "my.yaml"]
    said = answer("fit", "--config", "digits_sbn", *options)
    assert sentence in reports[-1], f"jsonargparse says {reports[-1]}: adapt the rows of cli/messages.py"
    assert expected in said


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in ROWS])
def test_every_row_answers_some_report(pattern: str) -> None:
    assert any(re.search(pattern, f"{sentence}{end}") for sentence in CASES for end in ("", ". Got value: x"))
