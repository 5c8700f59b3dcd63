"""Turns the reports of jsonargparse into one line that says what is wrong and what to do."""

import re
from collections.abc import Callable
from importlib import import_module
from itertools import accumulate

from jsonargparse import ArgumentParser

from sbn_lightning.cli.keys import KEYS
from sbn_lightning.errors import UsageError, did_you_mean

GIVEN = ("num_features", "num_classes", "params", "optimizer")  # parameters that no config sets
KINDS = {"int": "an integer", "float": "a number", "str": "text", "bool": "true or false"}
KINDS |= {"list": "a list", "tuple": "a list", "Sequence": "a list", "Iterable": "a list", "dict": "a set of settings"}
CLASS = "a class is written {{class_path: NAME, init_args: {{KEY: VALUE}}}}, with these two keys only"


class Report:
    """What a parser reports.

    Attributes:
        text: As jsonargparse writes it.
        known: Every key of the parser.
        choices: {key: base class} of the keys whose value is a class.
        key: What the text is about, without init_args.
        value: The innermost one that the text names.
    """

    def __init__(self, text: str, parser: ArgumentParser, choices: dict[str, type]) -> None:
        self.text, self.choices = text, choices
        self.known = sorted(parser.get_defaults().keys(branches=True))
        self.key = ""
        for key in dict.fromkeys(re.findall(r'Parser key "([^"]+)"', text)):  # of a section's file, with the section
            self.key = key if key.startswith(f"{self.key}.") or not self.key else f"{self.key}.{key}"
        values = re.findall(r"(?:Given|Got) value: (.*?)(?:\. Got value|$)", text, re.MULTILINE)
        self.value = values[0] if values else ""


def unknown_option(report: Report, option: str) -> UsageError:
    return UsageError(f"there is no option {option}{close_option(option, report.known)}; see --help")


def close_option(option: str, known: list[str]) -> str:
    """Return `, did you mean …?` for an option that is the last part of a key, or of its name: --lr, --epochs; or else
    for one that is nearly an option."""
    word = f"_{option.lstrip('-').rpartition('.')[2]}_"
    parts = [key.name for key in KEYS if word in f"_{key.name.rpartition('.')[2]}_"]
    return f", did you mean '--{parts[0]}'?" if parts else did_you_mean(option, [f"--{key}" for key in known])


def unknown_key(report: Report, *names: str) -> UsageError:
    sections = accumulate(".".join(names).split("."), "{}.{}".format)  # modle may be unknown already in modle.head
    unknown = next(key for key in sections if key not in report.known)
    return UsageError(f"there is no key {unknown!r}{did_you_mean(unknown, report.known)}", unknown)


def unknown_setting(report: Report, name: str) -> UsageError:
    module, kind = re.findall(r"class_path[ =]'([\w.]+)\.(\w+)'", report.text)[0]
    parameters = ArgumentParser().add_class_arguments(getattr(import_module(module), kind), fail_untyped=False)
    known = [parameter for parameter in parameters if parameter not in GIVEN]
    keys = f"; its keys are {', '.join(known)}" if known else "; it has no keys at all"
    close = did_you_mean(name, known) or (keys if len(known) <= 12 else "")
    return at(f"{report.key}.{name}", f"{kind} has no key {name!r}{close}")


def unknown_part(report: Report, name: str) -> UsageError:
    return at(f"{report.key}.{name}", f"there is no key {name!r}")


def unknown_class(report: Report, name: str) -> UsageError:
    of_another = report.key.rpartition(".")[0]  # of which a head in a head is a setting
    base = report.choices.get(report.key) or report.choices.get(of_another)
    name, names = name.rstrip("."), class_names(base) if base else []
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
    kinds = " or ".join(dict.fromkeys(KINDS[name] for name in found if name in KINDS))
    if report.value == "None":
        return at(report.key, f"null is not {kinds}; omit the key to use its default")
    return at(report.key, f"{report.value!r} is not {kinds}")


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
        "{0!r} is required: give a config, as by --config digits_sbn, or --{0} VALUE",
    ),
    (r"Config file loop detected: (.+)", "config files name each other in a circle: {0}"),
    (
        r"Option 'class_path' is not accepted|Dict must include a class_path|object has no attribute 'keys'"
        r"|Expected an import path or a subclass spec|Not a valid subclass of \w+\. Got value",
        CLASS,
    ),
    (r"Option '([^']+)' is not accepted", unknown_setting),
    (r"Expected a <class '\w+'>\. Got value: NestedArg\(key='([^']+)'", unknown_part),
    (r"Expected a typing\.Literal", wrong_choice),
    (r"Expected a tuple with (\d+) elements", "{value} is not a list of {0} values"),
    (rf"Expected a <class '[\w.]*\b(?:{'|'.join(KINDS)})'>(?s:.*)(?:Given|Got) value", wrong_type),
    (r"Expected a dot import path string: ?(\S*)", unknown_class),
    (
        r"(?:Unable to load config \"|given class_path '(?=\S+\.ya?ml')|Got value: (?=\S+\.ya?ml$)"
        r"|Unexpected import path format: (?=\S+\.ya?ml))([^'\"\s]+)",
        "there is no config file {0!r} (a path is relative to the file that names it)",
    ),
    (r"No module named '([^']+)'", "there is no module {0!r}, neither in this folder nor installed"),
    (r"module '(\S+)' has no attribute '(\w+)'", unknown_member),
    (r"Expected '(\S+)' to be a subclass of <class '(\w+)'>", "{0} is not a subclass of {1}"),
    (r"Import path does not correspond to a subclass of (\w+)", "{value} is not a subclass of {0}"),
    (r"(?:Key must be a string, got|Empty nested key): (.+)\.", "the key {0} in a config is not a name"),
    (r"Unexpected config: (.*)", "a config contains settings, written KEY: VALUE, and not {0!r}"),
    # Last, since also what is nearly right is none of the other classes that a key accepts.
    (r"argument of type '\w+' is not iterable|unhashable type|Not a valid subclass of \w+", CLASS),
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
    if reasons and reasons[0].startswith("Problem with"):  # what it is stands in the next line that is not a key
        reasons = re.findall(r"Problem with .+:\n(?:\s+(?:Parser key|Problem with) .+:\n)*\s+(.+)", text)
    return at(report.key, reasons[0] if reasons else " ".join(re.sub(r'Parser key "[^"]+":', "", text).split()))


def at(key: str, text: str) -> UsageError:
    """Return the error for what stands at a key."""
    return UsageError(f"{key}: {text}" if key else text, key)


def class_names(base: type) -> list[str]:
    """Return the names of all imported classes that are derived from base."""
    found: list[type] = base.__subclasses__()
    for kind in found:  # which grows meanwhile
        found += kind.__subclasses__()
    return sorted({kind.__name__ for kind in found if kind.__name__[0] != "_"})
