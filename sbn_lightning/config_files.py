"""Where configs lie, and which files a config is made of."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from sbn_lightning.errors import UsageError, did_you_mean

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def config_folder() -> Path:
    """Return the folder of the shipped configs: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def shipped_configs() -> dict[str, Path]:
    """Return {name: file} of the configs that come with sbn."""
    return {path.stem: path for path in sorted(config_folder().glob("*.yaml"))}


def find_config(name: str) -> str:
    """Return the path of a config, given its path, the folder of a run, or the name of a shipped config.

    A config given as YAML text (`{...}`) is returned as it is.

    Raises:
        UsageError: If there is no such config.
    """
    if Path(name).is_file() or name.lstrip().startswith("{"):
        return name
    if (Path(name) / "config.yaml").is_file():
        return str(Path(name) / "config.yaml")
    shipped = shipped_configs()
    if name in shipped:
        return str(shipped[name])
    raise UsageError(
        f"config {name!r} is neither a file nor the name of a shipped config{did_you_mean(Path(name).stem, shipped)} "
        f"({', '.join(shipped)})"
    )


def options_with_values(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (option, value) of a command line; an option without a value has an empty one."""
    for position, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if argument.startswith("-"):
            yield option, value if equals else "".join(arguments[position + 1 : position + 2])


def with_config_paths(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line, with names of shipped configs and folders of runs replaced by paths."""
    resolved = list(arguments)
    for position, argument in enumerate(arguments):
        key, equals, value = argument.partition("=")
        if key not in ("--config", "-c"):
            continue
        if equals:
            resolved[position] = f"{key}={find_config(value)}"
        elif position + 1 < len(arguments) and not arguments[position + 1].startswith("--"):
            resolved[position + 1] = find_config(arguments[position + 1])
    return resolved


def files_of(config: Path) -> list[Path]:
    """Return the YAML files that a config is made of: itself, and every file that one of them names.

    A file is named by its path, relative to the file that names it.

    Raises:
        UsageError: If one of them cannot be read, or is not YAML.
    """
    files: list[Path] = []
    unread = [config]
    while unread:
        file = unread.pop(0)
        if file in files:
            continue
        files.append(file)
        unread += [file.parent / text for text in _texts(read_yaml(file)) if _names_a_file(text, file.parent)]
    return files


def read_yaml(file: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        UsageError: If it cannot be read, or is not YAML.
    """
    try:
        return parse_yaml(file.read_text(encoding="utf-8"), str(file))
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def parse_yaml(text: str, name: str) -> Any:
    """Return the content of YAML text.

    Args:
        text: See above.
        name: What to call it in a message.

    Raises:
        UsageError: If it is not YAML.
    """
    try:
        return yaml.load(text, LOADER)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{name} is not valid YAML{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from error


def _names_a_file(text: str, folder: Path) -> bool:
    return text.endswith((".yaml", ".yml")) and (folder / text).is_file()


def _texts(value: Any) -> Iterator[str]:
    """Every string among the values of a YAML document."""
    if isinstance(value, dict):
        for entry in value.values():
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, str):
        yield value
