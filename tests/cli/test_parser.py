"""The parser of the trainer's commands: what it answers and where it says the mistake is."""

import inspect
from collections.abc import Callable
from pathlib import Path

import jsonargparse
import pytest

from sbn_lightning.cli.locate import with_place
from sbn_lightning.errors import UsageError

CONFIGS: dict[str | bytes, str] = {  # with a mistake: the answer
    "trainer:\n  callbacks:\n    - class_path: LogitHistogram\n    - class_path: Histogram\n": (
        "my.yaml, line 4: trainer.callbacks: there is no class 'Histogram', did you mean 'LogitHistogram'?"
    ),
    "model.head.init_args.scal: 3": "my.yaml, line 1: model.head.scal: ScaledBatchNormHead has no key 'scal', ",
    "model:\n  head:\n    class_path: ScaledBatchNormHead\n    init_args:\n      scale: -2\n": (
        "my.yaml, line 5: model.head.scale: scale must be positive, got -2"
    ),
    "model:\n  head:\n    class_path: ScaledBatchNormHead\n    init_args:\n      scale: null\n": (
        "my.yaml, line 5: model.head.scale: null is not a number; omit the key to use its default"
    ),
    "optimizer:\n  class_path: torch.optim.SGD\n  init_args:\n    lr: -0.5\n": (
        "my.yaml, line 4: optimizer: Invalid learning rate: -0.5"
    ),
    "trainer: [1]": "my.yaml, line 1: trainer: [1] is not a set of settings",
    "checkpoint: null": "my.yaml, line 1: checkpoint: None is not a set of settings",
    "model: {backbone: [SmallCNN": "my.yaml is not valid YAML, line ",
    "trainer: parts/broken.yaml": "parts/broken.yaml is not valid YAML, line 2: ",
    "trainer: parts/trainer.yaml": "parts/trainer.yaml, line 2: trainer.max_epochs: 'many' is",
    "3": "my.yaml does not contain settings, written KEY: VALUE",
    b"seed_everything: \xa2": "my.yaml is not UTF-8 text",
}


@pytest.mark.parametrize("config", CONFIGS)
def test_mistake_in_a_config_is_answered_with_file_and_line(config: str | bytes, answer: Callable[..., str]) -> None:
    Path("parts").mkdir()
    Path("parts/trainer.yaml").write_text("devices: 1\nmax_epochs: many\n")
    Path("parts/broken.yaml").write_text("devices: 1\n max_epochs: 1\n")
    Path("my.yaml").write_bytes(config if isinstance(config, bytes) else config.encode())
    assert CONFIGS[config] in answer("fit", "--config", "digits_sbn", "--config", "my.yaml")


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


def test_jsonargparse_still_has_the_private_function_that_is_replaced() -> None:
    function = getattr(jsonargparse._typehints, "discard_init_args_on_class_path_change", None)
    moved = f"jsonargparse {jsonargparse.__version__} moved it: adapt ArgumentParser.parse_args, or keep 4.53"
    assert function is not None, moved
    assert list(inspect.signature(function).parameters)[1:] == ["prev_val", "value"], moved
