"""Options of `sbn fit` as a list: the value that one of them has, and what differs between two such lists.

Nothing here merges configs as `sbn fit` does. A value is looked up, last option first, in the options and in the files
that `--config` names.
"""

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

CONFIG = ("config", "c")
MISSING = "not set"
# Where a run's files are, how often it saves and what it shows; none of this changes what is trained.
IRRELEVANT = re.compile(
    r"run_dir|ckpt_path|auto_resume|checkpoint\..*|data\.(root|packed_dir)|trainer\.enable_progress_bar"
)


def options_in(arguments: Sequence[str], as_written: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the key and the text of each option: `--model.head.init_args.scale=3` gives ("model.head.scale", "3").

    Args:
        as_written: Whether to yield ("--model.head.init_args.scale", "3") instead.

    Raises:
        UsageError: If there is a word that is not part of an option.
    """
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if not option.startswith("-"):
            raise UsageError(f"{option!r} is not the value of an option; options are written --KEY VALUE")
        if not equals:
            if not rest:
                raise UsageError(f"option {option} has no value")
            value = rest.pop(0)
        yield option if as_written else option.lstrip("-").replace(".init_args", "").removesuffix(".class_path"), value


def setting(arguments: Sequence[str], key: str) -> Any:
    """Return the value of a setting, e.g. of `trainer.max_epochs`; MISSING where neither options nor configs set it.

    The value of a class is its name, or {"class_path": name, "init_args": settings}.

    Raises:
        UsageError: If a config is not found or is not valid YAML.
    """
    for option, text in reversed(list(options_in(arguments))):
        if option in CONFIG and _is_file(text):
            file = Path(find_config(text))
            value = value_in(_content(file), key, file.parent)
        elif option in CONFIG:
            value = value_in(value_of(text), key)
        elif key == option or key.startswith(f"{option}."):
            value = value_in(value_of(text), key[len(option) + 1 :])
        else:
            continue
        if value is not MISSING and not (isinstance(value, dict) and "class_path" not in value):
            return value  # a section without a class, {init_args: {root: DIR}}, leaves the class as it is
    return MISSING


def value_in(content: Any, key: str, folder: Path = Path()) -> Any:
    """Return what a config has at a dotted key, in files that it names as well; MISSING if there is nothing."""
    for name in [*filter(None, key.split(".")), None]:
        if isinstance(content, str) and content.endswith((".yaml", ".yml")) and (folder / content).is_file():
            folder, content = (folder / content).parent, _content(folder / content)
        if name is None:
            break
        if isinstance(content, dict) and "class_path" in content:
            content = content.get("init_args")
        elif isinstance(content, dict) and isinstance(content.get("init_args"), dict) and name not in content:
            content = content["init_args"]  # a config that changes settings of a class without naming it
        if not isinstance(content, dict) or name not in content:
            return MISSING
        content = content[name]
    return content


def _is_file(config: str) -> bool:
    """Whether a config is not given as YAML text: `{trainer: {max_epochs: 2}}`."""
    return not config.lstrip().startswith("{")


def _content(file: Path) -> Any:
    return _read(file.absolute(), file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _read(file: Path, changed: int) -> Any:
    """A grid of 216 runs asks for the same few files thousands of times."""
    return read_yaml(file)


def value_of(text: str) -> Any:
    """Return an option's value as YAML reads it; a number also where YAML would read 1e-3 as text."""
    try:
        value = yaml.safe_load(text)
        return float(value) if isinstance(value, str) else value
    except (yaml.YAMLError, ValueError):
        return text


def class_in(value: Any) -> str:
    """Return the name of the class that a setting such as `model.head` names, without its module."""
    name = value.get("class_path") if isinstance(value, dict) else value
    return name.rpartition(".")[2] if isinstance(name, str) and name is not MISSING else ""


def configs_in(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the configs that options name."""
    return tuple(text for key, text in options_in(arguments) if key in CONFIG)


def hashes(configs: Sequence[str]) -> dict[str, str]:
    """Return {file: SHA-256} of the content, without its comments, of every YAML file that configs are made of.

    Files that come with sbn have their path among the shipped configs, so that they are the same on another machine.
    """
    files = [file for config in configs if _is_file(config) for file in files_of(Path(find_config(config)))]
    return {_name(file): hashlib.sha256(_canonical(file)).hexdigest() for file in files}


def _name(file: Path) -> str:
    path, shipped = file.resolve(), config_folder().resolve()
    return path.relative_to(shipped).as_posix() if path.is_relative_to(shipped) else str(path)


def _canonical(file: Path) -> bytes:
    return json.dumps(read_yaml(file), sort_keys=True, default=str).encode()


def changed_options(before: Sequence[str], now: Sequence[str], config: Any = None) -> list[str]:
    """Return `optimizer.lr was 0.1, is 0.05` for each option that differs between two lists.

    Args:
        before, now: Options of `sbn fit`.
        config: The content of the config.yaml that the run wrote itself; it says what an option was that was not given.
    """
    old, new = _by_key(before), _by_key(now)
    changes = []
    for key in sorted(old.keys() | new.keys()):
        was = old.get(key, value_in(config, key))
        was = was["class_path"] if isinstance(was, dict) and "class_path" in was else was
        if was != new.get(key, MISSING):
            changes.append(f"{key} was {was}, is {new.get(key, MISSING)}")
    return changes


def _by_key(arguments: Sequence[str]) -> dict[str, Any]:
    """The relevant options; all configs together are one, since their order matters."""
    pairs = list(options_in(arguments))
    options = {key: value_of(text) for key, text in pairs if key not in CONFIG and not IRRELEVANT.fullmatch(key)}
    return options | {"config": " ".join(configs_in(arguments))}
