"""Turns the reports of jsonargparse into one line that says what is wrong and what to do."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser

from sbn_lightning.cli.jsonargparse_internals import actions_of
from sbn_lightning.errors import UsageError, did_you_mean

GIVEN = ("num_features", "num_classes", "params", "optimizer")
"""Parameters of heads, optimizers and schedulers that no config sets."""

HOW_A_CLASS_IS_WRITTEN = "a class is written {class_path: NAME, init_args: {KEY: VALUE}}, with these two keys only"


@dataclass(frozen=True)
class Report:
    """What jsonargparse reports.

    Args:
        text: As jsonargparse writes it.
        parser: The parser that reports it.
        choices: {key: base class} of the keys whose value is a class.
    """

    text: str
    parser: ArgumentParser
    choices: dict[str, type]

    @property
    def key(self) -> str:
        """The key that the report is about, without init_args."""
        return ".".join(dict.fromkeys(re.findall(r'Parser key "([^"]+)"', self.text)))

    @property
    def value(self) -> str:
        """The innermost value that the report is about."""
        values = re.findall(r"(?:Given|Got) value: (.*?)(?:\. Got value|$)", self.text, re.MULTILINE)
        return str(values[0]) if values else ""

    @property
    def class_path(self) -> str:
        """The first class that the report names, or an empty string."""
        match = re.search(r"class_path[ =]'([\w.]+)'", self.text)
        return match[1] if match else ""


def unknown_option(report: Report, match: re.Match[str]) -> UsageError:
    option = match[1].partition("=")[0]
    if not option.startswith("-"):
        return UsageError(f"{option!r} is not the value of an option; options are written --KEY VALUE")
    names = [name for action in actions_of(report.parser) for name in action.option_strings]
    known = [name for name in names if not name.endswith((".help", "+"))]
    return UsageError(f"there is no option {option}{did_you_mean(option, known)}")


def option_without_value(report: Report, match: re.Match[str]) -> UsageError:
    return UsageError(f"{match[1]} needs a value: {match[1]} VALUE")


def unknown_key(report: Report, match: re.Match[str]) -> UsageError:
    """The key of the report may stand below the first one that is unknown: modle.head.init_args.scale."""
    known = [key.split(".") for key in keys_of_parser(report.parser, match[1])]
    parts = match[2].split(".")
    depth = next(depth for depth in range(len(parts)) if not any(key[: depth + 1] == parts[: depth + 1] for key in known))
    siblings = {key[depth]: None for key in known if key[:depth] == parts[:depth] and len(key) > depth}
    return no_key(".".join(parts[:depth]), parts[depth], list(siblings))


def missing_keys(report: Report, match: re.Match[str]) -> UsageError:
    names = match[1].split(", ")
    if report.class_path:
        name, key = report.class_path.rpartition(".")[2], f"{report.key}.{names[0]}"
        return at(report.key, f"{name} needs a value for {listed(names)}, among its init_args or as --{key} VALUE")
    keys = [re.sub(r"^(fit|validate|test|predict)\.", "", name) for name in names]
    config = "a config as --config CONFIG, or " if "config" in keys_of_parser(report.parser, "fit") else ""
    text = f"{listed(keys)} {'is' if len(keys) == 1 else 'are'} required: give {config}--{keys[0]} VALUE"
    return UsageError(text, keys[0].rpartition(".")[0])


def circle(report: Report, match: re.Match[str]) -> UsageError:
    return at(report.key, f"config files name each other in a circle: {match[1]}")


def missing_file(report: Report, match: re.Match[str]) -> UsageError:
    return at(report.key, f"there is no config file {match[1]!r} (a path is relative to the file that names it)")


def class_in_other_words(report: Report, match: re.Match[str]) -> UsageError:
    return at(report.key, HOW_A_CLASS_IS_WRITTEN)


def unknown_setting(report: Report, match: re.Match[str]) -> UsageError:
    return no_key(report.key, match[1], keys_of_class(report.class_path), report.class_path.rpartition(".")[2])


def setting_of_a_value(report: Report, match: re.Match[str]) -> UsageError:
    return no_key(report.key, match[1], [])


def wrong_choice(report: Report, match: re.Match[str]) -> UsageError:
    choices = ", ".join(dict.fromkeys(re.findall(r"typing\.Literal\[(.*?)\]", report.text.partition("Errors:")[2] or report.text)))
    return at(report.key, f"{report.value!r} is not one of {choices}")


def wrong_type(report: Report, match: re.Match[str]) -> UsageError:
    kinds = {"int": "an integer", "float": "a number", "str": "text", "bool": "true or false"}
    found = re.findall(r"Expected a <class '(\w+)'>", report.text)
    return at(report.key, f"{report.value!r} is not {', '.join(kinds[kind] for kind in kinds if kind in found)}")


def out_of_range(report: Report, match: re.Match[str]) -> UsageError:
    kind = "an integer" if match[2] == "Int" else "a number"
    least = "larger than 0" if match[1] == "Positive" else "0 or larger"
    value = match[3] or report.value
    return at(report.key, f"{value!r} is not {kind} {least}")


def too_few_values(report: Report, match: re.Match[str]) -> UsageError:
    return at(report.key, f"--{report.key} needs {match[1]} values")


def unknown_class(report: Report, match: re.Match[str]) -> UsageError | None:
    return no_class(report.key, match[1], report.choices) if report.key in report.choices else None


def unknown_module(report: Report, match: re.Match[str]) -> UsageError:
    return at(report.key, f"there is no module {match[1]!r}, neither in this folder nor installed")


def unknown_member(report: Report, match: re.Match[str]) -> UsageError:
    return at(report.key, f"there is no {match[2]!r} in {match[1]}{did_you_mean(match[2], dir(import_module(match[1])))}")


def class_of_another_kind(report: Report, match: re.Match[str]) -> UsageError:
    return at(report.key, f"{match['name'] or report.value} is not a subclass of {match['base'] or match['base2']}")


def no_settings(report: Report, match: re.Match[str]) -> UsageError:
    return UsageError(f"a config contains settings, written KEY: VALUE, and not {match[1].strip()!r}")


def key_that_is_not_a_name(report: Report, match: re.Match[str]) -> UsageError:
    return UsageError(f"the key {match[1]} in a config is not a name")


Answer = Callable[[Report, re.Match[str]], UsageError | None]
ROWS: list[tuple[str, Answer]] = [
    # unrecognized arguments: --trainer.max_epoch 1
    (r"unrecognized arguments: (\S+)", unknown_option),
    # argument --run_dir: expected one argument
    (r"argument (?:\S+/)?(-\S+): expected one argument", option_without_value),
    # Subcommand 'fit' does not accept option 'trainer.max_epohcs'
    (r"Subcommand '(\w+)' does not accept option '([^']+)'", unknown_key),
    # Problem with given class_path 'lightning.pytorch.loggers.CSVLogger': the following arguments are required: save_dir
    (r"the following arguments are required: (.+)", missing_keys),
    # Config file loop detected: my.yaml -> my.yaml
    (r"Config file loop detected: (.+)", circle),
    # Unable to load config 'parts/nothing.yaml'
    (r"Unable to load config '([^']+)'", missing_file),
    # Problem with given class_path 'nothing.yaml': No module named 'nothing'
    (r"(?:given class_path '|Got value: )([^'\s]+\.ya?ml)\b", missing_file),
    # Option 'class_path' is not accepted
    # Dict must include a class_path and optionally init_args, but got {'clas_path': 'SoftmaxHead'}
    # 'int' object has no attribute 'keys'
    # Expected an import path or a subclass spec, but got [1, 2]
    # Not a valid subclass of Callback. Got value: 3
    (
        r"Option 'class_path' is not accepted|Dict must include a class_path|object has no attribute 'keys'"
        r"|Expected an import path or a subclass spec|Not a valid subclass of \w+\. Got value",
        class_in_other_words,
    ),
    # Problem with given class_path 'torch.optim.SGD': Option 'lrr' is not accepted
    (r"Option '([^']+)' is not accepted", unknown_setting),
    # Expected a dot import path string: Softmax
    (r"Expected a dot import path string: (\S+)", unknown_class),
    # Expected a <class 'float'>. Got value: NestedArg(key='x', val='1')
    (r"Expected a <class '\w+'>\. Got value: NestedArg\(key='([^']+)'", setting_of_a_value),
    # Expected a typing.Literal[64, 32, 16]
    (r"Expected a typing\.Literal", wrong_choice),
    # Expected a <class 'float'>. Got value: fast
    (r"Expected a <class '(int|float|bool|str)'>(?s:.*)(Given|Got) value", wrong_type),
    # Not of type PositiveInt: 0 does not conform to restriction v>0
    (r"Not of type (Positive|NonNegative)(Int|Float): (?:(\S+) does not conform)?", out_of_range),
    # Expected a tuple with 2 elements
    (r"Expected a tuple with (\d+) elements", too_few_values),
    # No module named 'mine'
    (r"No module named '([^']+)'", unknown_module),
    # module 'torch.optim' has no attribute 'NoSuch'
    (r"module '(\S+)' has no attribute '(\w+)'", unknown_member),
    # Expected 'torch.nn.Linear' to be a subclass of <class 'Head'>
    # Import path does not correspond to a subclass of Optimizer
    (
        r"Expected '(?P<name>\S+)' to be a subclass of <class '(?P<base>\w+)'>"
        r"|Import path does not correspond to a subclass of (?P<base2>\w+)",
        class_of_another_kind,
    ),
    # Key must be a string, got: 1.
    (r"Key must be a string, got: (.+)\.", key_that_is_not_a_name),
    # Unexpected config: seed_everything:
    (r"Unexpected config: (.*)", no_settings),
]
"""What jsonargparse 4.53 may report, as patterns, with the sentences that each is for; the first answer counts."""


def readable(text: str, parser: ArgumentParser, choices: dict[str, type] | None = None) -> UsageError:
    """Return what the user is told for a report of jsonargparse.

    Args:
        text: As jsonargparse writes it.
        parser: The parser that reports it.
        choices: {key: base class} of the keys whose value is a class.
    """
    report = Report(text, parser, choices or {})
    for pattern, answer in ROWS:
        if (match := re.search(pattern, text)) and (error := answer(report, match)):
            return error
    return at(report.key, " ".join(re.sub(r'Parser key "[^"]+":', "", text).split()))


def at(key: str, text: str) -> UsageError:
    """Return the error for what stands at a key."""
    return UsageError(f"{key}: {text}" if key else text, key)


def no_key(section: str, name: str, known: Sequence[str], class_name: str = "") -> UsageError:
    """Return the error for an unknown key in a section, with what could stand there."""
    text = f"{class_name} has no key {name!r}" if class_name else f"there is no key {name!r}"
    if close := did_you_mean(name, known):
        text += close
    elif class_name and len(known) <= 12:
        text += f"; its keys are {', '.join(known)}" if known else "; it has no keys at all"
    return UsageError(f"{section}: {text}" if section else text, f"{section}.{name}" if section else name)


def no_class(key: str, name: str, choices: dict[str, type]) -> UsageError:
    """Return the error for a name at a key where a class belongs, with what could stand there."""
    names = sorted({kind.__name__ for kind in subclasses(choices[key]) if kind.__name__[0] != "_"})
    known = f"known are {', '.join(names)}; " if len(names) <= 30 else ""
    text = f"there is no class {name!r}{did_you_mean(name, names) or ';'}"
    return at(key, f"{text} {known}a class of your own is written package.module.Class")


def subclasses(base: type) -> Iterator[type]:
    """All imported classes that are derived from base."""
    derived: type
    for derived in base.__subclasses__():
        yield derived
        yield from subclasses(derived)


def keys_of_parser(parser: ArgumentParser, command: str) -> list[str]:
    """Every key that a config of a command may hold, but for those of its classes."""
    commands: dict[str, Any] = next((a.choices for a in actions_of(parser) if isinstance(a.choices, dict)), {})
    return [action.dest for action in actions_of(commands.get(command, parser))]


def class_at(class_path: str) -> Any:
    """Return the class with an import path."""
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def keys_of_class(class_path: str) -> list[str]:
    """The parameters of a class that a config may set."""
    names = ArgumentParser(exit_on_error=False).add_class_arguments(class_at(class_path), fail_untyped=False)
    return [name for name in names if name not in GIVEN]


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence: 'monitor'; 'save_dir' and 'name'."""
    return " and ".join(f"{name!r}" for name in names)
