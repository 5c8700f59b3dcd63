"""Turns the reports of jsonargparse into one line that says what is wrong and what to do."""

import re
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser

from sbn_lightning.cli.jsonargparse_internals import actions_of
from sbn_lightning.errors import UsageError, did_you_mean

GIVEN = ("num_features", "num_classes", "params", "optimizer")  # parameters that no config sets
KINDS = {
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "list": "a list",
    "collections.abc.Iterable": "a list",
    "dict": "a set of settings",
    "bool": "true or false",
}


class Report:
    """What jsonargparse reports.

    Args:
        text: As jsonargparse writes it.
        parser: The parser that reports it.
        choices: {key: base class} of the keys whose value is a class.

    Attributes:
        key: What the report is about, without init_args.
        value: The innermost value that is complained about.
        class_path: The first class that is named.
    """

    def __init__(self, text: str, parser: ArgumentParser, choices: dict[str, type]) -> None:
        self.text, self.parser, self.choices = text, parser, choices
        self.key = ""
        for key in dict.fromkeys(re.findall(r'Parser key "([^"]+)"', text)):  # of a section's file, with the section
            self.key = key if key.startswith(f"{self.key}.") or not self.key else f"{self.key}.{key}"
        self.value = first(r"(?:Given|Got) value: (.*?)(?:\. Got value|$)", text)
        self.class_path = first(r"class_path[ =]'([\w.]+)'", text)


def unknown_option(report: Report, option: str) -> UsageError:
    if not option.startswith("-"):
        return UsageError(f"{option!r} is not the value of an option; options are written --KEY VALUE")
    option = option.partition("=")[0]
    names = [name for action in actions_of(report.parser) for name in action.option_strings]
    known = [name for name in names if not name.endswith((".help", "+"))]
    return UsageError(f"there is no option {option}{did_you_mean(option, known)}")


def unknown_key(report: Report, key: str) -> UsageError:
    """The key may stand below the first one that is unknown: modle.head.init_args.scale."""
    known = [action.dest.split(".") for action in actions_of(report.parser)]
    parts = key.split(".")
    depth = next(
        depth for depth in range(len(parts)) if parts[: depth + 1] not in [name[: depth + 1] for name in known]
    )
    siblings = {name[depth]: None for name in known if name[:depth] == parts[:depth] and len(name) > depth}
    return no_key(".".join(parts[:depth]), parts[depth], list(siblings))


def missing_keys(report: Report, names: str) -> UsageError:
    keys = names.split(", ")
    listed = " and ".join(f"{key!r}" for key in keys)
    if report.class_path:
        name, option = report.class_path.rpartition(".")[2], f"--{report.key}.{keys[0]}"
        return at(report.key, f"{name} needs a value for {listed}, among its init_args or as {option} VALUE")
    config = (
        "a config as --config CONFIG, or "
        if any(action.dest == "config" for action in actions_of(report.parser))
        else ""
    )
    text = f"{listed} {'is' if len(keys) == 1 else 'are'} required: give {config}--{keys[0]} VALUE"
    return UsageError(text, keys[0].rpartition(".")[0])


def unknown_setting(report: Report, name: str) -> UsageError:
    return no_key(report.key, name, keys_of_class(report.class_path), report.class_path.rpartition(".")[2])


def unknown_class(report: Report, name: str) -> UsageError | None:
    if report.key not in report.choices:
        return None
    names = class_names(report.choices[report.key])
    known = f"known are {', '.join(names)}; " if len(names) <= 30 else ""
    text = f"there is no class {name!r}{did_you_mean(name, names)}"
    return at(report.key, f"{text} ({known}a class of your own is written package.module.Class)")


def wrong_choice(report: Report) -> UsageError:
    choices = re.findall(r"- Expected a typing\.Literal\[(.*)\]", report.text)
    choices = choices or re.findall(r"Expected a typing\.Literal\[(.*)\]", report.text)
    return at(report.key, f"{report.value!r} is not one of {', '.join(choices)}")


def wrong_type(report: Report) -> UsageError | None:
    found = re.findall(r"Expected a <class '([\w.]+)'>", report.text)
    names = dict.fromkeys(name for kind, name in KINDS.items() if kind in found)
    return at(report.key, f"{report.value!r} is not {', '.join(names)}") if names else None


def out_of_range(report: Report, least: str, kind: str) -> UsageError:
    value = report.value or first(r"(\S+) does not conform", report.text)
    least = "larger than 0" if least == "Positive" else "0 or larger"
    return at(report.key, f"{value!r} is not {KINDS[kind.lower()]} {least}")


def unknown_member(report: Report, module: str, name: str) -> UsageError:
    return at(report.key, f"there is no {name!r} in {module}{did_you_mean(name, dir(import_module(module)))}")


ROWS: list[tuple[str, str | Callable[..., UsageError | None]]] = [
    # unrecognized arguments: --trainer.max_epoch 1
    (r"unrecognized arguments: (\S+)", unknown_option),
    # argument --run_dir: expected one argument
    (r"argument (?:\S+/)?(-\S+): expected one argument", "{0} needs a value: {0} VALUE"),
    # Group 'trainer' does not accept option 'max_epohcs'
    (
        r"Group '([^']+)' does not accept option '([^']+)'",
        lambda report, group, key: unknown_key(report, f"{group}.{key}"),
    ),
    # Option 'modle.head' is not accepted
    (r"\AOption '([^']+)' is not accepted", unknown_key),
    # Problem with given class_path 'lightning.pytorch.loggers.CSVLogger':
    #     the following arguments are required: save_dir
    (r"the following arguments are required: (.+)", missing_keys),
    # Config file loop detected: my.yaml -> my.yaml
    (r"Config file loop detected: (.+)", "config files name each other in a circle: {0}"),
    # Option 'class_path' is not accepted
    # Dict must include a class_path and optionally init_args, but got {'clas_path': 'SoftmaxHead'}
    # 'int' object has no attribute 'keys'
    # Expected an import path or a subclass spec, but got [1, 2]
    # Not a valid subclass of Callback. Got value: 3
    (
        r"Option 'class_path' is not accepted|Dict must include a class_path|object has no attribute 'keys'"
        r"|Expected an import path or a subclass spec|Not a valid subclass of \w+\. Got value",
        "a class is written {{class_path: NAME, init_args: {{KEY: VALUE}}}}, with these two keys only",
    ),
    # Problem with given class_path 'torch.optim.SGD': Option 'lrr' is not accepted
    (r"Option '([^']+)' is not accepted", unknown_setting),
    # Expected a dot import path string: Softmax
    (r"Expected a dot import path string: (\S+)", unknown_class),
    # Expected a <class 'float'>. Got value: NestedArg(key='x', val='1')
    (
        r"Expected a <class '\w+'>\. Got value: NestedArg\(key='([^']+)'",
        lambda report, name: no_key(report.key, name, []),
    ),
    # Expected a typing.Literal[64, 32, 16]
    (r"Expected a typing\.Literal", wrong_choice),
    # Expected a <class 'float'>. Got value: fast
    (r"Expected a <class '[\w.]+'>(?s:.*)(?:Given|Got) value", wrong_type),
    # Not of type PositiveInt: 0 does not conform to restriction v>0
    (r"Not of type (Positive|NonNegative)(Int|Float):", out_of_range),
    # Expected a tuple with 2 elements
    (r"Expected a tuple with (\d+) elements", "it needs {0} values"),
    # Expected a dot import path string: x
    (
        r"Expected a dot import path string: (\S+)",
        "there is no class {0!r}; a class is written package.module.Class",
    ),
    # Unable to load config "parts/nothing.yaml"
    # Problem with given class_path 'nothing.yaml': No module named 'nothing'
    (
        r"(?:Unable to load config \"|given class_path '(?=\S+\.ya?ml')|Got value: (?=\S+\.ya?ml$))([^'\"\n]+)",
        "there is no config file {0!r} (a path is relative to the file that names it)",
    ),
    # No module named 'mine'
    (r"No module named '([^']+)'", "there is no module {0!r}, neither in this folder nor installed"),
    # module 'torch.optim' has no attribute 'NoSuch'
    (r"module '(\S+)' has no attribute '(\w+)'", unknown_member),
    # Expected 'torch.nn.Linear' to be a subclass of <class 'Head'>
    (r"Expected '(\S+)' to be a subclass of <class '(\w+)'>", "{0} is not a subclass of {1}"),
    # Import path does not correspond to a subclass of Optimizer
    (r"Import path does not correspond to a subclass of (\w+)", "{value} is not a subclass of {0}"),
    # Key must be a string, got: 1.
    (r"Key must be a string, got: (.+)\.", "the key {0} in a config is not a name"),
    # Unexpected config: seed_everything:
    (r"Unexpected config: (.*)", "a config contains settings, written KEY: VALUE, and not {0!r}"),
]
"""(pattern, answer), with the sentences of jsonargparse 4.53 that each is for. The first answer counts: a text, or what
a function of the report and the pattern's groups returns."""


def readable(text: str, parser: ArgumentParser, choices: dict[str, type] | None = None) -> UsageError:
    """Return what the user is told for a report of jsonargparse; see Report."""
    report = Report(text, parser, choices or {})
    for pattern, answer in ROWS:
        if match := re.search(pattern, text):
            if isinstance(answer, str):
                return at(report.key, answer.format(*match.groups(), value=report.value))
            if error := answer(report, *match.groups()):
                return error
    reason = first(r"Errors:\n\s+- (?!Expected a)(.+)", text)  # the first of those of all types that were tried
    return at(report.key, reason or " ".join(re.sub(r'Parser key "[^"]+":', "", text).split()))


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


def first(pattern: str, text: str) -> str:
    """Return the first group of a pattern, or an empty string."""
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""


def class_names(base: type) -> list[str]:
    """Return the names of all imported classes that are derived from base."""
    return sorted({kind.__name__ for kind in subclasses(base) if kind.__name__[0] != "_"})


def subclasses(base: type) -> Iterator[type]:
    derived: type
    for derived in base.__subclasses__():
        yield derived
        yield from subclasses(derived)


def class_at(class_path: str) -> Any:
    """Return the class with an import path."""
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def keys_of_class(class_path: str) -> list[str]:
    """Return the parameters of a class that a config may set."""
    names = ArgumentParser(exit_on_error=False).add_class_arguments(class_at(class_path), fail_untyped=False)
    return [name for name in names if name not in GIVEN]
