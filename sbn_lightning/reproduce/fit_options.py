"""Options of `sbn fit` as a list: what they and the configs among them set, and what differs between two such lists."""

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from sbn_lightning.config_files import config_folder, files_of, find_config, read_yaml
from sbn_lightning.errors import UsageError

NOT_SET = "not set"
CLASSES = ("data", "model.backbone", "model.head")  # a run's folder is named after these
# Where a run's files are, how often it saves and what it shows; none of this changes what is trained.
IRRELEVANT = re.compile(
    r"run_dir|ckpt_path|auto_resume|checkpoint\..*|data\.(root|packed_dir)|trainer\.enable_progress_bar"
)


def options_in(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each option: `--optimizer.lr=3` and `--optimizer.lr 3` give ("optimizer.lr", "3").

    Raises:
        UsageError: If there is a word that is not part of an option.
    """
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if not option.startswith("-"):
            raise UsageError(f"{option!r} is not the value of an option; options are written --KEY VALUE")
        if not equals and not rest:
            raise UsageError(f"option {option} has no value")
        yield "config" if option == "-c" else option.lstrip("-"), value if equals else rest.pop(0)


def settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what options and the files that they name set, as {"model.head": "SBNHead", "model.head.scale": 3, ...}.

    Later options take the place of earlier ones, and another class drops the settings of the one before. This is what
    `sbn fit` does, but for values that only its parser knows: defaults, and what follows from other values.

    Raises:
        UsageError: If a config is not found or is not valid YAML.
    """
    found: dict[str, Any] = {}
    for name, text in options_in(arguments):
        if name == "config" and text.lstrip()[:1] != "{":
            file = Path(find_config(text))
            _add(found, "", _read(file.absolute(), file.stat().st_mtime_ns), file.parent)
        elif name == "config":
            _add(found, "", value_of(text), Path())
        else:
            _add(found, plain_key(name), value_of(text), Path())
    return found


def _add(found: dict[str, Any], key: str, value: Any, folder: Path) -> None:
    """Set a key to a value; a file, whose path is relative to a folder, stands for its content."""
    if isinstance(value, str) and value.endswith((".yaml", ".yml")) and (file := folder / value).is_file():
        _add(found, key, _read(file.absolute(), file.stat().st_mtime_ns), file.parent)
    elif isinstance(value, dict):
        for name, entry in sorted(value.items(), key=lambda item: item[0] != "class_path"):
            inside = key if name in ("class_path", "init_args") else f"{key}.{name}".lstrip(".")
            _add(found, inside, entry, folder)
    else:
        is_class = key in CLASSES and isinstance(value, str)
        value = value.rpartition(".")[2] if is_class else _number(value)
        if found.get(key) != value:
            for below in [name for name in found if name.startswith(f"{key}.")]:
                del found[below]
        found[key] = value


@functools.lru_cache(maxsize=256)
def _read(file: Path, changed: int) -> Any:
    """A grid of 216 runs asks for the same few files many times."""
    return read_yaml(file)


def absolute_config(name: str) -> str:
    """Return the name of a shipped config, or the whole path of a file: a command may be repeated elsewhere."""
    found = find_config(name)
    return str(Path(found).absolute()) if Path(name).exists() else name


def plain_key(name: str) -> str:
    """Return an option's name as a key of `settings`."""
    return name.replace(".init_args", "").removesuffix(".class_path")


def value_of(text: str) -> Any:
    """Return an option's value as YAML reads it."""
    try:
        return _number(yaml.safe_load(text))
    except yaml.YAMLError:
        return text


def _number(value: Any) -> Any:
    """YAML reads 1e-3 as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def head_settings(found: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the head among others."""
    return {key.removeprefix("model.head."): value for key, value in found.items() if key.startswith("model.head.")}


def configs_in(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the configs that options name; not those given as YAML text, `{trainer: {max_epochs: 2}}`."""
    return tuple(text for name, text in options_in(arguments) if name == "config" and text.lstrip()[:1] != "{")


def hashes(configs: Sequence[str]) -> dict[str, str]:
    """Return {file: SHA-256} of the content of every YAML file that configs are made of.

    Comments and the order of the keys do not count. Files that come with sbn have their path among the shipped configs,
    so that they are the same on another machine.
    """
    shipped = config_folder().resolve()
    found = {}
    for file in (file for config in configs for file in files_of(Path(find_config(config)))):
        path = file.resolve()
        name = path.relative_to(shipped).as_posix() if path.is_relative_to(shipped) else str(path)
        try:
            content = json.dumps(read_yaml(file), sort_keys=True, default=str)
        except TypeError as error:
            raise UsageError(f"{file} has a key that is not a name, or has numbers beside names as keys") from error
        found[name] = hashlib.sha256(content.encode()).hexdigest()
    return found


def changed_settings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return `optimizer.lr was 0.1, is 0.05` for each setting that differs and matters to the training."""
    return [
        f"{key} was {old.get(key, NOT_SET)}, is {new.get(key, NOT_SET)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, NOT_SET) != new.get(key, NOT_SET) and not IRRELEVANT.fullmatch(key)
    ]
