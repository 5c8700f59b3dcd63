"""The configs that a command line names: found and read before anything is imported that takes seconds. No torch."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from sbn_lightning.config_files import (
    files_of,
    find_config,
    other_runs,
    read_yaml,
    shipped_configs,
    shipped_text,
)
from sbn_lightning.errors import UsageError

OPTIONS = ("-c", "--config")
WITHOUT = ("--data", "--model", "--print_config")
"""Options with which a command line may go without a config."""
OVERWRITTEN = ("--data", "--model", "--optimizer", "--lr_scheduler")
"""Options of the sections that a config chooses the class of, and with it all settings."""
TOO_DEEP = "a config contains itself (by *NAME inside of &NAME), or too many levels"


def check_configs(command: str, arguments: Sequence[str]) -> None:
    """Refuse a command line without a config, with one that is not found or cannot be read, with settings before it,
    which it would overwrite, or of which it would be said that they do not fit, or with a config that needs another."""
    options = [word.partition("=")[0] for word in arguments]
    first = next((place for place, option in enumerate(options) if option in OPTIONS), 0)
    for option in [option for option in options[:first] if option.startswith(OVERWRITTEN)]:
        raise UsageError(f"{option} stands before --config, which would overwrite it: put --config first")
    if not {*OPTIONS} & {*options} and not any(word.startswith(WITHOUT) or word.endswith(".help") for word in options):
        configs = [word for word in arguments if not word.startswith("-") and is_config(word)]
        if command in ("fit", "prepare"):
            what, example, there = "a config", "digits_sbn", f"{shipped_text()}; sbn --help shows them all"
        else:
            what, example, there = "the folder of a run", "runs/digits_sbn", other_runs(Path("runs"))
        raise UsageError(f"name {what}, as in: sbn {command} --config {(*configs, example)[0]} ({there})")
    words = with_config_paths(arguments)
    if {*OPTIONS} & {*words}:
        check_first_config(command, words)


def check_first_config(command: str, words: Sequence[str]) -> None:
    """Refuse a command line whose first config is a shipped one that names no head: it only changes another config."""
    first = next((path for option, path in pairwise(words) if option in OPTIONS), "")
    name = next((name for name, file in shipped_configs().items() if str(file) == first), "")
    model = read_yaml(Path(first)).get("model") if name else None
    if isinstance(model, dict) and "head" not in model:  # a model may also be a file of its own
        example = f"sbn {command} --config digits_sbn --config {name}"
        raise UsageError(f"the config {name!r} changes another config: give it as the second one, as in: {example}")


def is_config(word: str) -> bool:
    """Whether a word names a config."""
    try:
        return bool(find_config(word))
    except UsageError:
        return False


def with_config_paths(arguments: Sequence[str]) -> list[str]:
    """Return the words of a command line with the path of each config; see `config_path`."""
    words: list[str] = []
    for argument in arguments:
        words += argument.split("=", 1) if argument.startswith(("--config=", "-c=")) else [argument]
        if words[-2:-1] and words[-2] in OPTIONS and not words[-1].startswith("--"):
            words[-1] = config_path(words[-1])
    return words


def config_path(name: str) -> str:
    """Return the path of a config, named as for `find_config`, all of whose files can be read and contain settings."""
    path = find_config(name)
    if not path.lstrip().startswith("{"):
        try:
            files_of(Path(path))
        except RecursionError as error:
            raise UsageError(TOO_DEEP) from error
        if not isinstance(read_yaml(Path(path)), dict):
            raise UsageError(f"{path} does not contain settings, written KEY: VALUE")
    return path
