"""Options of `sbn fit` as a list: what they and the configs among them set, and what differs between two such lists."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from sbn_lightning.config_files import LOADER, config_folder, files_of, find_config, read_yaml
from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import user_path

SECTIONS = (
    "config", "seed_everything", "trainer", "model", "data", "optimizer", "lr_scheduler", "checkpoint", "chance_level",
    "run_dir", "ckpt_path", "auto_resume", "allow_other_data", "weights_only",
)  # fmt: skip
"""The first words of all keys of `sbn fit`. Only its parser knows the rest, and takes seconds to be imported."""
CLASSES = ("data", "model.backbone", "model.head")  # a run's folder is named after these
# Where a run's files are, how often it saves and what it shows; none of this changes what is trained.
IRRELEVANT = re.compile(
    r"run_dir|ckpt_path|auto_resume|checkpoint\..*|data\.(root|packed_dir)|trainer\.enable_progress_bar"
)


def options_in(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each option: `--optimizer.lr=3` and `--optimizer.lr 3` give ("optimizer.lr", "3").

    A word that is not part of an option is a UsageError.
    """
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if not option.startswith("-"):
            raise UsageError(f"{option!r} is not the value of an option; options are written --KEY VALUE")
        if not equals and not rest:
            raise UsageError(f"option {option} has no value")
        yield "config" if option == "-c" else option.lstrip("-"), value if equals else rest.pop(0)


def absolute_config(name: str) -> str:
    """Return the name of a shipped config, or the whole path of a file: a command may be repeated elsewhere."""
    found = find_config(name)
    return str(Path(found).absolute()) if user_path(name).exists() else name


def plain_key(name: str) -> str:
    """Return an option's name as a key of `settings`."""
    return name.replace(".init_args", "").removesuffix(".class_path")


def settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what options and the files that they name set, as {"model.head": "SBNHead", "model.head.scale": 3, ...}.

    Later options take the place of earlier ones, and another class drops the settings of the one before. This is what
    `sbn fit` does, except for values that only its parser knows: defaults, and what follows from other values. A config
    that is not found or is not valid YAML is a UsageError.
    """
    found: dict[str, Any] = {}
    for name, text in options_in(arguments):
        if name == "config" and not text.lstrip().startswith("{"):
            file = Path(find_config(text))
            _add(found, "", read_yaml(file), file.parent)
            continue
        value: Any = text
        with contextlib.suppress(yaml.YAMLError):
            value = yaml.load(text, LOADER)
        _add(found, "" if name == "config" else plain_key(name), value, Path())
    return found


def _add(found: dict[str, Any], key: str, value: Any, folder: Path) -> None:
    """Set a key to a value; a file, whose path is relative to a folder, stands for its content."""
    if isinstance(value, str) and value.endswith((".yaml", ".yml")) and (file := folder / value).is_file():
        _add(found, key, read_yaml(file), file.parent)
    elif isinstance(value, dict):
        for name, entry in sorted(value.items(), key=lambda item: item[0] != "class_path"):
            inside = key if name in ("class_path", "init_args") else f"{key}.{name}".lstrip(".")
            _add(found, inside, entry, folder)
    else:
        if isinstance(value, str) and key in CLASSES:
            value = value.rpartition(".")[2]
        elif isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = float(value)  # YAML reads 1e-3 as text
        if found.get(key) != value:
            for below in [name for name in found if name.startswith(f"{key}.")]:
                del found[below]
        found[key] = value


def changed_settings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return `optimizer.lr was 0.1, is 0.05` for each setting that differs and matters to the training."""
    default = "the default"
    return [
        f"{key} was {old.get(key, default)}, is {new.get(key, default)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, default) != new.get(key, default) and not IRRELEVANT.fullmatch(key)
    ]


def hashes(arguments: Sequence[str]) -> dict[str, str]:
    """Return {file: SHA-256} of the content of every YAML file that the configs among some options are made of.

    Comments and the order of the keys do not count. Files that come with sbn have their path among the shipped configs,
    so that they are the same on another machine.
    """
    shipped = config_folder().resolve()
    configs = [find_config(text) for name, text in options_in(arguments) if name == "config"]
    found = {}
    for file in (file for config in configs if config.lstrip()[:1] != "{" for file in files_of(Path(config))):
        path = file.resolve()
        name = path.relative_to(shipped).as_posix() if path.is_relative_to(shipped) else str(path)
        try:
            content = json.dumps(read_yaml(file), sort_keys=True, default=str)
        except TypeError as error:
            raise UsageError(f"{file} has a key that is not a name, or has numbers beside names as keys") from error
        found[name] = hashlib.sha256(content.encode()).hexdigest()
    return found
