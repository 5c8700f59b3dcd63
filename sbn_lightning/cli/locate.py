"""Finds the place where a setting was written: the file and line, or the option."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import yaml

from sbn_lightning.config_files import LOADER, find_config
from sbn_lightning.errors import UsageError

Key = tuple[str, ...]  # ("model", "head")


class Place(NamedTuple):
    """Where a setting, or a section of settings, is written."""

    key: Key
    name: str  # the option, or the file and the line
    value: str  # empty for a section


def with_place(error: UsageError, arguments: Sequence[str]) -> str:
    """Return an error's text, with the place on a command line or in its configs where the setting was written.

    It is the last place whose value the text names, or else the last that sets the key, or the section that it is
    missing in.
    """
    text, key = str(error), parts_of(error.key)
    found = [place for place in places(arguments) if place.key[: len(key)] == key[: len(place.key)]] if key else []
    complaint = re.split(r", did you mean| \(known|;", text.removeprefix(f"{error.key}: "))[0]
    words = re.findall(r"[\w.+-]+", complaint)
    named = [place for place in found if len(place.key) >= len(key) and place.value in words]
    above = sorted([place for place in found if len(place.key) <= len(key)], key=lambda place: len(place.key))
    for place in [*above, *named][-1:]:
        said = place.name.startswith("-")  # an option names the key already
        text = f"{place.name}: {text.removeprefix(f'{error.key}: ') if said else text}"
    return text


def parts_of(key: str) -> Key:
    """Return the parts of a dotted key, without init_args."""
    return tuple(part for part in key.split(".") if part not in ("", "init_args"))


def places(arguments: Sequence[str]) -> Iterator[Place]:
    """Yield every setting and every section on a command line and in its configs."""
    for argument, following in pairwise([*arguments, ""]):
        option, equals, value = argument.partition("=")
        value = value if equals else following
        if option in ("-c", "--config"):
            yield from places_in_file((Path(find_config(value)),), ())
        elif option.startswith("-"):
            key = parts_of(option.lstrip("-").rstrip("+"))
            yield Place(key, option, value)
            yield from places_in_file((Path(value),), key)


def places_in_file(files: tuple[Path, ...], key: Key) -> Iterator[Place]:
    """The same for a section's YAML file, which comes after those through which it was found."""
    *above, file = files
    if file.suffix in (".yaml", ".yml") and file.is_file() and file not in above:
        yield from places_in_node(yaml.compose(file.read_text(encoding="utf-8"), LOADER), files, key)


def places_in_node(node: yaml.Node | None, files: tuple[Path, ...], key: Key) -> Iterator[Place]:
    """The same for a part of a YAML file."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if parts := parts_of(str(name.value)):
                yield Place((*key, *parts), line_of(name, files[-1]), "")
            yield from places_in_node(value, files, (*key, *parts))
    elif isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            yield from places_in_node(entry, files, key)
    elif isinstance(node, yaml.ScalarNode):
        yield Place(key, line_of(node, files[-1]), node.value)
        yield from places_in_file((*files, files[-1].parent / node.value), key)


def line_of(node: yaml.Node, file: Path) -> str:
    return f"{file}, line {node.start_mark.line + 1}"
