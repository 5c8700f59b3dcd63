"""The parser of the trainer's commands: jsonargparse, with errors that say in one line what is wrong and what to do."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import jsonargparse._typehints
import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sbn_lightning.backbones import Backbone
from sbn_lightning.config_files import with_config_paths
from sbn_lightning.data import ImageDataModule
from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.heads import Head

CHOICES: dict[str, type] = {
    "model.backbone": Backbone,
    "model.head": Head,
    "data": ImageDataModule,
    "trainer.callbacks": Callback,
    "optimizer": Optimizer,
    "lr_scheduler": LRScheduler,
}


def forget_init_args_of_another_class(parser: Any, previous: Any, value: Any) -> None:
    """Drop the old class's settings when a later config or option names another class.

    jsonargparse keeps those that the new class has too: `--model.head AMSoftmaxHead` after a config with scaled batch
    normalization would train AM-Softmax with the other head's scale.
    """
    if previous and "init_args" in previous and previous["class_path"] != value["class_path"]:
        for name in list(previous["init_args"].keys()):
            previous["init_args"].pop(name)


# There is no public way to set this.
if not hasattr(jsonargparse._typehints, "discard_init_args_on_class_path_change"):
    raise ImportError(f"jsonargparse {jsonargparse.__version__} is not supported; install jsonargparse 4.53")
jsonargparse._typehints.discard_init_args_on_class_path_change = forget_init_args_of_another_class

MOST_VALUES = 10_000
plain_loader = jsonargparse.get_loader("yaml")


def load_yaml(text: str) -> Any:
    """What YAML text says; refused where aliases would keep the parser busy for ever.

    Raises:
        UsageError: If it holds itself, more than 10,000 values with each alias written out, or is nested too deeply.
    """
    try:
        loaded = plain_loader(text)
    except RecursionError as error:
        raise UsageError("a config is nested too deeply") from error
    count, unread = 0, [loaded]
    while unread:
        value = unread.pop()
        count += 1
        if count > MOST_VALUES:
            raise UsageError(
                f"a config holds itself, or more than {MOST_VALUES:,} values; look at its &anchors and *aliases"
            )
        unread += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return loaded


jsonargparse.set_loader("yaml", load_yaml, (yaml.YAMLError,))


class ArgumentParser(LightningArgumentParser):
    """Raises one readable UsageError where jsonargparse would print its usage and exit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def parse_args(self, args: Any = None, namespace: Any = None, **settings: Any) -> Any:
        try:
            return super().parse_args(with_config_paths(args), namespace, **settings)
        except UnicodeDecodeError as error:
            raise UsageError(f"a config is no text in UTF-8: {error}") from error

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # one of jsonargparse's own attempts: it may still try another type
            super().error(message, ex)
        options = [option for action in self._actions for option in action.option_strings]
        raise UsageError(readable(message, options)) from ex


def readable(message: str, options: Iterable[str] = ()) -> str:
    """One line for the user out of jsonargparse's report, which lists every type it tried.

    Args:
        message: As jsonargparse gives it.
        options: The parser's options, to propose one for an unknown argument.
    """
    keys: list[str] = re.findall(r'Parser key "([^"]+)"', message)
    key = ".".join(dict.fromkeys(keys))
    where = f"{key}: " if key else ""
    if match := re.search(r"unrecognized arguments: (\S+)", message):
        option = match[1].partition("=")[0]
        return f"there is no option {option}{did_you_mean(option, list(options))}"
    if match := re.search(r"does not accept option '(?:([^']+)\.)?([^'.]+)'", message):
        return f"{match[1] or 'config'}: {no_key(match[2])}"
    if "Option 'class_path' is not accepted" in message or "Dict must include a class_path" in message:
        return f"{where}a class is written {{class_path: NAME, init_args: {{KEY: VALUE}}}}, with these two keys only"
    if match := re.search(r"Option '([^']+)' is not accepted", message):
        return f"{where}{no_key(match[1])}"
    if match := re.search(r"Unable to load config '([^']+)'", message):
        return f"{where}there is no config file {match[1]!r} (a path is relative to the file that names it)"
    if (types := re.findall(r"Expected a <class '(int|float|bool|str)'>", message)) and (value := given_value(message)):
        return f"{where}{value!r} is no {' or '.join(dict.fromkeys(types))}"
    if match := re.search(r"Expected a dot import path string: (\S+)", message):
        return unknown_class(key, match[1])
    if match := re.search(r"No module named '([^']+)'", message):
        return f"{key}: there is no module {match[1]!r}, neither in this folder nor installed"
    if match := re.search(r"Errors:\n\s+- (?!Expected a)(.*)", message):  # one of our own constructors said no
        return where + match[1]
    return where + " ".join(re.sub(r'Parser key "[^"]+":', "", message).split())


def no_key(name: str) -> str:
    """Says that a key is not known where it stands; one that other classes have may stand there by mistake."""
    if name in known_keys():
        return f"there is no key {name!r} here; another class has one (--help lists the keys, KEY.help CLASS a class's)"
    return f"there is no key {name!r}{did_you_mean(name, known_keys())}"


def given_value(message: str) -> str | None:
    """The innermost value that jsonargparse complains of."""
    match = re.search(r"(?:Given|Got) value: (.*?)(?:\. Got value|$)", message, re.MULTILINE)
    return match[1] if match else None


def unknown_class(key: str, name: str) -> str:
    """Says what could stand at key instead of name."""
    base = next((base for start, base in CHOICES.items() if key.startswith(start)), None)
    names = sorted({kind.__name__ for kind in subclasses(base) if kind.__name__[0] != "_"}) if base else []
    listed = f"; known are {', '.join(names)}" if 0 < len(names) <= 30 else ""
    return (
        f"{key}: {name!r} is neither a known class{did_you_mean(name, names)} nor the import path of one "
        f"(package.module.Class){listed}"
    )


def subclasses(base: type) -> Iterator[type]:
    """All classes derived from base that are imported."""
    derived: type
    for derived in base.__subclasses__():
        yield derived
        yield from subclasses(derived)


def known_keys() -> list[str]:
    """Names of everything that can be set on the trainer, or on any class that a config can name."""
    classes: list[type] = [Trainer, *(kind for base in CHOICES.values() for kind in subclasses(base))]
    return sorted({name for kind in classes for name in inspect.signature(kind).parameters})
