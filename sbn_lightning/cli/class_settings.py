"""The settings of the package's own classes, read from their source: to import them would take seconds. No torch."""

import ast
import re
from pathlib import Path
from typing import Any

import docstring_parser

PACKAGE = Path(__file__).parent.parent
FIRST_PART = re.compile(r".*?(?=(?<!e\.g)[.;:]( |$)|$)")
"""A text up to the end of its first sentence, or to a semicolon or a colon."""


def settings_of(name: str, folder: str) -> dict[str, tuple[Any, str]]:
    """Return {setting: (default, meaning)} of a class that a file in a folder of the package defines; nothing for a
    class that is not found there.

    The settings are the parameters of its constructor, or of that of a base class in the same folder, that have a
    default. The meaning is the first part of the description.

    Args:
        name: Of the class.
        folder: Relative to the package.
    """
    files = sorted((PACKAGE / folder).glob("*.py"))
    nodes = [node for file in files for node in ast.parse(file.read_text("utf-8")).body]
    classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
    found = classes.get(name)
    while found:
        if constructors := [node for node in found.body if getattr(node, "name", "") == "__init__"]:
            return described(ast.get_docstring(found) or "", constructors[0])
        bases = [base.id for base in found.bases if isinstance(base, ast.Name)]
        found = next((classes[base] for base in bases if base in classes), None)
    return {}


def described(docstring: str, constructor: Any) -> dict[str, tuple[Any, str]]:
    """Return {parameter: (default, meaning)} of a constructor's parameters that have a default."""
    texts = {
        one.arg_name: " ".join((one.description or "").split()) for one in docstring_parser.parse(docstring).params
    }
    given = constructor.args
    pairs = [*zip(given.args[len(given.args) - len(given.defaults) :], given.defaults, strict=True)]
    pairs += [pair for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True) if pair[1] is not None]
    return {
        parameter.arg: (value_of(default), FIRST_PART.match(texts.get(parameter.arg, ""))[0])  # type: ignore
        for parameter, default in pairs
    }


def value_of(default: ast.expr) -> Any:
    """Return what a default is; of a class, its name."""
    return default.id if isinstance(default, ast.Name) else ast.literal_eval(default)
