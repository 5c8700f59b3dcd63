"""Calls a command's function with the options that its signature describes, parsed by jsonargparse."""

import inspect
import json
import re
import typing
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from sbn_lightning.cli.messages import readable
from sbn_lightning.errors import UsageError, did_you_mean

PASSED_ON = "fit_options"
OPTION = re.compile(r"--|-[A-Za-z](=|$)")  # -1 is a value


class Help(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Shows a docstring's lines as they are written."""


class FunctionParser(ArgumentParser):
    """Raises one readable UsageError where jsonargparse would print its usage and exit."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        error = readable(message, self)
        raise UsageError(f"{error}; see {self.prog} --help", error.key) from ex


def call(command: str, function: Callable[..., int | None], arguments: Sequence[str]) -> int | None:
    """Call a function with the arguments of a command line, and return its exit code.

    Its parameters become options, with the types of the signature and the texts of the docstring. Those before `*` may
    also be given without a name: `sbn report DIR`. An option of type bool needs no value, one of type list or tuple
    takes several words: `--seeds 0 1 2`. A parameter `fit_options` receives all other options as they are written; a
    function without any other parameter parses all of them itself, --help too.

    Args:
        command: As the user writes it.
        function: See above.
        arguments: What follows the command.

    Raises:
        UsageError: If the arguments do not fit.
    """
    parameters = dict(inspect.signature(function).parameters)
    passes_on = parameters.pop(PASSED_ON, None) is not None
    if not parameters:
        return function(list(arguments))
    unnamed = [name for name, parameter in parameters.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    words = [
        *(f"[{name.upper()}]" for name in unnamed),
        "[--OPTION VALUE ...]",
        *["[any option of sbn fit]"] * passes_on,
    ]
    parser = FunctionParser(
        prog=f"sbn {command}",
        usage=f"sbn {command} {' '.join(words)}",
        description=(inspect.getdoc(function) or "").partition("\n\nArgs:")[0],
        epilog="An option that is true or false needs no value; a list takes several words: --name A B.",
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.add_function_arguments(function, skip={PASSED_ON}, as_group=False)
    own, others = separate(parameters, unnamed, arguments)
    if not passes_on:
        return function(**vars(parser.parse_args([*own, *others])))
    parsed = parser.parse_args(own)
    for option in (word.partition("=")[0] for word in others if OPTION.match(word)):
        if "." not in option and (close := did_you_mean(option, [f"--{name}" for name in parameters])):
            raise UsageError(f"there is no option {option}{close}; see sbn {command} --help")
    return function(**vars(parsed), fit_options=others)


def separate(
    parameters: dict[str, inspect.Parameter], unnamed: list[str], arguments: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return a function's own options, each as one word `--name=value`, and all other arguments.

    Args:
        parameters: The function's own.
        unnamed: Names of those that may be given without a name.
        arguments: As they are written.

    Raises:
        UsageError: If a word belongs to no option.
    """
    own: list[str] = []
    others: list[str] = []
    unread = list(arguments)
    while unread:
        word = unread.pop(0)
        if not OPTION.match(word):
            free = [name for name in unnamed if not any(option.startswith(f"--{name}=") for option in own)]
            if not free:
                raise UsageError(f"{word!r} is not the value of an option; options are written --KEY VALUE")
            own.append(f"--{free[0]}={word}")
            continue
        option, equals, value = word.partition("=")
        name = option.lstrip("-").replace("-", "_")
        kind = kind_of(parameters[name]) if name in parameters else None
        values = [value] if equals else []
        while unread and not equals and not OPTION.match(unread[0]) and takes(kind, values, unread[0]):
            values.append(unread.pop(0))
        if word in ("-h", "--help"):
            own.append(word)
        elif kind is None:
            others += [word] if equals else [word, *values]
        elif not values:
            own.append(f"--{name}=true" if kind is bool else f"--{name}")
        elif typing.get_origin(kind) in (list, tuple) and not values[0].startswith("["):
            own.append(f"--{name}={json.dumps(values)}")
        else:
            own.append(f"--{name}={values[0]}")
    return own, others


def kind_of(parameter: inspect.Parameter) -> Any:
    """Return a parameter's type, without None."""
    kinds = [kind for kind in typing.get_args(parameter.annotation) if kind is not type(None)]
    is_optional = type(None) in typing.get_args(parameter.annotation)
    return kinds[0] if is_optional and len(kinds) == 1 else parameter.annotation


def takes(kind: Any, values: Sequence[str], word: str) -> bool:
    """Whether a word is one more value of an option; an option of another command takes all words that follow."""
    if kind is None or typing.get_origin(kind) is list:
        return True
    if typing.get_origin(kind) is tuple:
        return len(values) < len(typing.get_args(kind))
    return not values and (kind is not bool or word.lower() in ("true", "false"))
