"""Turns the reports of jsonargparse into one line that says what is wrong and what to do."""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import accumulate
from typing import Any

from jsonargparse import ArgumentParser

from sbn_lightning.cli.jsonargparse_internals import actions_of
from sbn_lightning.errors import UsageError, did_you_mean

GIVEN = ("num_features", "num_classes", "params", "optimizer")  # parameters that no config sets
KINDS = {"int": "an integer", "float": "a number", "str": "text", "bool": "true or false"}
KINDS |= {"list": "a list", "Iterable": "a list", "dict": "a set of settings"}


class Report:
    """What a parser reports, and out of its text: the key that it is about, without init_args, and the innermost value.

    `choices` is {key: base class} of the keys whose value is a class.
    """

    def __init__(self, text: str, parser: ArgumentParser, choices: dict[str, type]) -> None:
        self.text, self.parser, self.choices = text, parser, choices
        self.key = ""
        for key in dict.fromkeys(re.findall(r'Parser key "([^"]+)"', text)):  # of a section's file, with the section
            self.key = key if key.startswith(f"{self.key}.") or not self.key else f"{self.key}.{key}"
        values = re.findall(r"(?:Given|Got) value: (.*?)(?:\. Got value|$)", text, re.MULTILINE)
        self.value = values[0] if values else ""


def unknown_option(report: Report, option: str) -> UsageError:
    names = [name for action in actions_of(report.parser) for name in action.option_strings]
    known = [name for name in names if not name.endswith((".help", "+"))]
    return UsageError(f"there is no option {option}{did_you_mean(option, known)}")


def unknown_key(report: Report, *names: str) -> UsageError:
    """The section may be unknown already, as in modle.head.init_args.scale."""
    known = {part for action in actions_of(report.parser) for part in with_sections(action.dest)}
    unknown = next(part for part in with_sections(".".join(names)) if part not in known)
    return UsageError(f"there is no key {unknown!r}{did_you_mean(unknown, sorted(known))}", unknown)


def with_sections(key: str) -> Iterator[str]:
    """Yield a.b and a for the key a.b, the shortest first."""
    return accumulate(key.split("."), "{}.{}".format)


def unknown_setting(report: Report, name: str) -> UsageError:
    class_path = re.findall(r"class_path[ =]'([\w.]+)'", report.text)[0]
    built = ArgumentParser(exit_on_error=False).add_class_arguments(class_at(class_path), fail_untyped=False)
    known = [known for known in built if known not in GIVEN]
    keys = f"; its keys are {', '.join(known)}" if known else "; it has no keys at all"
    close = did_you_mean(name, known) or (keys if len(known) <= 12 else "")
    return at(f"{report.key}.{name}", f"{class_path.rpartition('.')[2]} has no key {name!r}{close}")


def unknown_part(report: Report, name: str) -> UsageError:
    return at(f"{report.key}.{name}", f"there is no key {name!r}")


def unknown_class(report: Report, name: str) -> UsageError:
    names = class_names(report.choices[report.key]) if report.key in report.choices else []
    known = f"known are {', '.join(names)}; " if 0 < len(names) <= 30 else ""
    text = f"there is no class {name!r}{did_you_mean(name, names)}"
    return at(report.key, f"{text} ({known}a class of your own is written package.module.Class)")


def unknown_member(report: Report, module: str, name: str) -> UsageError:
    return at(report.key, f"there is no {name!r} in {module}{did_you_mean(name, dir(import_module(module)))}")


def wrong_choice(report: Report) -> UsageError:
    choices = re.findall(r"Expected a typing\.Literal\[(.*?)\]", report.text)
    return at(report.key, f"{report.value!r} is not one of {', '.join(choices)}")


def wrong_type(report: Report) -> UsageError:
    found = re.findall(r"Expected a <class '[\w.]*?(\w+)'>", report.text)
    kinds = dict.fromkeys(KINDS[name] for name in found if name in KINDS)
    return at(report.key, f"{report.value!r} is not {', '.join(kinds)}")


ROWS: list[tuple[str, str | Callable[..., UsageError]]] = [
    (r"unrecognized arguments: (-[^\s=]+)", unknown_option),
    (r"unrecognized arguments: (\S+)", "{0!r} is not the value of an option; options are written --KEY VALUE"),
    (r"argument (?:\S+/)?(-\S+): expected one argument", "{0} needs a value: {0} VALUE"),
    (r"^Group '(\w+)' does not accept option '([^']+)'", unknown_key),
    (r"^Option '([^']+)' is not accepted", unknown_key),
    (
        r"given class_path '(?:\w+\.)*(\w+)':\s+the following arguments are required: (\w+)",
        "{0} needs a value for {1!r}, among its init_args or as --{key}.{1} VALUE",
    ),
    (
        r"the following arguments are required: ([\w.]+)",
        "{0!r} is required: give a config as --config CONFIG, or --{0} VALUE",
    ),
    (r"Config file loop detected: (.+)", "config files name each other in a circle: {0}"),
    (
        r"Option 'class_path' is not accepted|Dict must include a class_path|object has no attribute 'keys'"
        r"|Expected an import path or a subclass spec|Not a valid subclass of \w+\. Got value",
        "a class is written {{class_path: NAME, init_args: {{KEY: VALUE}}}}, with these two keys only",
    ),
    (r"Option '([^']+)' is not accepted", unknown_setting),
    (r"Expected a <class '\w+'>\. Got value: NestedArg\(key='([^']+)'", unknown_part),
    (r"Expected a typing\.Literal", wrong_choice),
    (rf"Expected a <class '[\w.]*\b(?:{'|'.join(KINDS)})'>(?s:.*)(?:Given|Got) value", wrong_type),
    (r"Expected a dot import path string: (\S+)", unknown_class),
    (
        r"(?:Unable to load config \"|given class_path '(?=\S+\.ya?ml')|Got value: (?=\S+\.ya?ml$)"
        r"|Unexpected import path format: (?=\S+\.ya?ml))([^'\"\s]+)",
        "there is no config file {0!r} (a path is relative to the file that names it)",
    ),
    (r"No module named '([^']+)'", "there is no module {0!r}, neither in this folder nor installed"),
    (r"module '(\S+)' has no attribute '(\w+)'", unknown_member),
    (r"Expected '(\S+)' to be a subclass of <class '(\w+)'>", "{0} is not a subclass of {1}"),
    (r"Import path does not correspond to a subclass of (\w+)", "{value} is not a subclass of {0}"),
    (r"Key must be a string, got: (.+)\.", "the key {0} in a config is not a name"),
    (r"Unexpected config: (.*)", "a config contains settings, written KEY: VALUE, and not {0!r}"),
]
"""(what jsonargparse 4.53 reports, what the user is told): the first row that fits counts. The answer is a text, or
what a function of the report and the pattern's groups returns. test_messages.py has an example of each report."""


def readable(text: str, parser: ArgumentParser, choices: dict[str, type]) -> UsageError:
    """Return what the user is told for a report of jsonargparse; see Report."""
    report = Report(text, parser, choices)
    for pattern, answer in ROWS:
        if match := re.search(pattern, text):
            if not isinstance(answer, str):
                return answer(report, *match.groups())
            return at(report.key, answer.format(*match.groups(), key=report.key, value=report.value))
    reasons = re.findall(r"Errors:\n\s+- (?!Expected a)(.+)", text)  # the first of those of all types that were tried
    return at(report.key, reasons[0] if reasons else " ".join(re.sub(r'Parser key "[^"]+":', "", text).split()))


def at(key: str, text: str) -> UsageError:
    """Return the error for what stands at a key."""
    return UsageError(f"{key}: {text}" if key else text, key)


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
