"""What a command line of `sbn fit` sets, with the files it names read: what two starts of one run are compared by."""

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from sbn_lightning.config_files import find_config
from sbn_lightning.errors import UsageError

# Where a run's files lie, how often it saves and what it shows: no part of what is trained.
ELSEWHERE = re.compile(
    r"run_dir|ckpt_path|auto_resume|checkpoint\..*|data\.(root|packed_dir)|trainer\.enable_progress_bar"
)


def settings_of(arguments: Sequence[str]) -> dict[str, Any]:
    """Dotted key -> value, later ones over earlier ones: {"model.head": "AMSoftmaxHead", "model.head.scale": 7.5}.

    Args:
        arguments: Options of `sbn fit`.

    Raises:
        UsageError: If an argument is no option, or a config is not found or no YAML.
    """
    settings: dict[str, Any] = {}
    for option, value in options_in(arguments):
        if option in ("--config", "-c"):
            for key, entry in load(Path(find_config(value))).items():
                put(settings, key, entry)
        else:
            key = option.removeprefix("--").replace(".init_args", "").removesuffix(".class_path")
            put(settings, key, parsed(value))
    return {key: settings[key] for key in sorted(settings) if not ELSEWHERE.fullmatch(key)}


def options_in(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Option and value, whether written `--key value` or `--key=value`."""
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if not option.startswith("-"):
            raise UsageError(f"{option!r} belongs to no option; options are written --KEY VALUE")
        if not equals:
            if not rest:
                raise UsageError(f"option {option} has no value")
            value = rest.pop(0)
        yield option, value


def parsed(text: str) -> Any:
    """A value as YAML has it; a number also in the spellings that YAML takes for text, such as 1e-3."""
    try:
        value = yaml.safe_load(text)
        return float(value) if isinstance(value, str) else value
    except (yaml.YAMLError, ValueError):
        return text


def put(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set a key, taking sections and classes apart; another class starts without the settings of the one before."""
    if isinstance(value, dict):
        if "class_path" in value:
            put(settings, key, value["class_path"])
            value = value.get("init_args") or {}
        for name, entry in value.items():
            put(settings, f"{key}.{name}", entry)
        return
    if key in settings and settings[key] != value:
        for other in [other for other in settings if other.startswith(f"{key}.")]:
            del settings[other]
    settings[key] = value


def load(path: Path) -> dict[str, Any]:
    """A config file with the files that it names put in.

    Raises:
        UsageError: If one is no YAML or cannot be read.
    """
    content = load_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no settings; a config is a YAML mapping such as `trainer: {{max_epochs: 2}}`")
    return content


@functools.cache
def load_yaml(path: Path) -> Any:
    """Whatever a YAML file holds, with the files that it names put in."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"config {path} cannot be read: {' '.join(str(error).split())}") from error
    return with_files(content, path.parent)


def with_files(value: Any, folder: Path) -> Any:
    """Replaces names of YAML files, relative to the file that names them, by their content."""
    if isinstance(value, dict):
        return {key: with_files(entry, folder) for key, entry in value.items()}
    if isinstance(value, str) and value.endswith((".yaml", ".yml")) and (folder / value).is_file():
        return load_yaml(folder / value)
    return value


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """`optimizer.lr was 0.1, is 0.05` for each setting that differs."""
    unset = "not set"
    return [
        f"{key} was {before.get(key, unset)}, is {now.get(key, unset)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, unset) != now.get(key, unset)
    ]
