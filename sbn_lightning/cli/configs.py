"""The configs that a command line names: found and read before anything is imported that takes seconds. No torch."""

from collections.abc import Sequence
from pathlib import Path

from sbn_lightning.config_files import files_of, find_config, other_runs, read_yaml, shipped_text
from sbn_lightning.errors import UsageError

OPTIONS = ("-c", "--config")
WITHOUT = ("--data", "--model", "--print_config")
"""Options with which a command line may go without a config."""
TOO_DEEP = "a config contains itself (by *NAME inside of &NAME), or too many levels"


def check_configs(command: str, arguments: Sequence[str]) -> None:
    """Refuse a command line without a config, or with one that is not found or cannot be read."""
    options = [word.partition("=")[0] for word in arguments]
    if not {*OPTIONS} & {*options} and not any(word.startswith(WITHOUT) or word.endswith(".help") for word in options):
        configs = [word for word in arguments if not word.startswith("-") and is_config(word)]
        if command in ("fit", "prepare"):
            what, example, there = "a config", "digits_sbn", f"{shipped_text()}; sbn --help shows them all"
        else:
            what, example, there = "the folder of a run", "runs/digits_sbn", other_runs(Path("runs"))
        raise UsageError(f"name {what}, as in: sbn {command} --config {(*configs, example)[0]} ({there})")
    with_config_paths(arguments)


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
