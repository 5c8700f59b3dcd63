"""Calls a command's function with the arguments that its signature describes."""

import argparse
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import docstring_parser

from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.run.files import user_path
from sbn_lightning.terminal import two_columns


class SignatureParser(argparse.ArgumentParser):
    """Raises a UsageError where argparse would print its usage and exit.

    Attributes:
        meanings: {option: what its values are} of the options with a fixed number of values.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.meanings: dict[str, str] = {}

    def error(self, message: str) -> NoReturn:
        if match := re.fullmatch(r"argument (--(\S+?))(?:/\S+)?: expected (.+) arguments?", message):
            option, name, number = match.groups()
            if option in self.meanings:
                message = f"{option} needs {number} values: {self.meanings[option]}"
            else:
                message = f"{option} needs a value: {option} {name.upper()}"
        raise UsageError(f"{message.removeprefix('argument ')}; see {self.prog} --help")


class TupleAction(argparse.Action):
    """Stores several words as a tuple."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, tuple(values))


def call(command: str, function: Callable[..., int | None], arguments: Sequence[str]) -> int | None:
    """Call a function with the arguments of a command line, and return its exit code.

    Parameters before `*` are given without a name: `sbn report DIR`. The others are options with the texts of the
    docstring: `--dry-run` or `--dry_run` for a bool, `--seeds 0 1 2` for a list or tuple. A parameter `fit_options`
    receives all other options as they are written; a function without any other parameter gets all arguments.
    Arguments that do not fit are a UsageError.
    """
    parameters = dict(inspect.signature(function, eval_str=True).parameters)
    passes_on = parameters.pop("fit_options", None) is not None
    if not parameters:
        return function(list(arguments))
    unnamed = [name for name, parameter in parameters.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    words = [*(f"[{name.upper()}]" for name in unnamed), "[--OPTION VALUE ...]"]
    parser = SignatureParser(
        prog=f"sbn {command}",
        usage=" ".join([f"sbn {command}", *words, *["[any option of sbn fit]"] * passes_on]),
        description=wrapped((inspect.getdoc(function) or "").partition("\n\nArgs:")[0]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # the function has its own
    )
    texts = {text.arg_name: text.description or "" for text in docstring_parser.parse(function.__doc__ or "").params}
    options = ["--help"]
    for name, parameter in parameters.items():
        default = f" Default: {parameter.default}." if parameter.default else ""
        settings = values_of(parameter.annotation) | {"help": (texts[name] + default).replace("%", "%%")}
        if name in unnamed:
            parser.add_argument(name, nargs="?", default=parameter.default, **settings)
        else:
            options.append(f"--{name.replace('_', '-')}")
            parser.add_argument(*dict.fromkeys([options[-1], f"--{name}"]), **settings)
            if isinstance(settings.get("nargs"), int):
                first = texts[name].partition(". ")[0].rstrip(".")
                parser.meanings[options[-1]] = first[:1].lower() + first[1:]
    given, others = parser.parse_known_args(arguments)
    for option in [word.partition("=")[0] for word in others if word.startswith("-")]:
        if passes_on and "." in option:
            continue
        own = f"--{option.rpartition('.')[2]}"  # --root, where sbn fit has --data.root
        close = did_you_mean(option, options) if "." not in option else f"; name {own}" if own in options else ""
        if close or not passes_on:
            parser.error(f"there is no option {option}{close}")
    if others and not (passes_on and others[0].startswith("-")):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    return function(**vars(given), **({"fit_options": others} if passes_on else {}))


def wrapped(text: str) -> str:
    """Return a text whose paragraphs are wrapped at the terminal's width; one that is indented stays as it is."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(part if part[:1] == " " else two_columns(("", part), name_width=0) for part in paragraphs)


def values_of(annotation: Any) -> dict[str, Any]:
    """Return how argparse reads the values of a type, with or without None."""
    if type(None) in typing.get_args(annotation):
        annotation = typing.get_args(annotation)[0]
    kind, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is bool:
        return {"action": "store_true"}
    if kind is Literal:
        return {"choices": inner}
    if kind is list:
        return {"type": reader_of(inner[0]), "nargs": "+"}
    if kind is tuple:
        return {"type": reader_of(inner[0]), "nargs": len(inner), "action": TupleAction}
    return {"type": reader_of(annotation)}


def reader_of(kind: type) -> Callable[[str], Any]:
    """Return the function that reads one word as a value of a type."""
    return path_of if kind is Path else kind


def path_of(word: str) -> Path:
    """Return the path that a word of the command line names."""
    try:
        return user_path(word)
    except UsageError as error:  # argparse tells the text of this error alone
        raise argparse.ArgumentTypeError(str(error)) from error
