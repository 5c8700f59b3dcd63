"""Finds the place where a setting was written: the file and line, or the option."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from sbn_lightning.config_files import find_config, options_with_values
from sbn_lightning.errors import UsageError


@dataclass(frozen=True)
class Place:
    """Where a key stands, or the deepest section above it that is written somewhere.

    Args:
        depth: Number of the key's parts that are written there: 2 for model.head in `head: SoftmaxHead`.
        name: The option, or the file and the line.
        value: What is written there; of a class only its name.
        is_option: Whether it is an option of the command line.
    """

    depth: int
    name: str
    value: str
    is_option: bool = False


def with_place(error: UsageError, arguments: Sequence[str]) -> str:
    """Return an error's text, with the place where the setting was written that it is about.

    Of several places, it is the one whose value the text names; otherwise the last, which overrides the others.

    Args:
        error: Names the setting by its key.
        arguments: The command line.
    """
    text, key = str(error), error.key
    found = list(places(key.split("."), arguments)) if key else []
    if not found:
        return text
    complaint = re.split(r", did you mean| \(known|;", text)[0]
    deepest = [place for place in found if place.depth == max(place.depth for place in found)]
    named = [
        place for place in deepest if place.value and re.search(rf"(?<![\w.]){re.escape(place.value)}(?!\w)", complaint)
    ]
    place = (named or deepest[::-1])[0]
    if place.is_option:  # it names the section already
        text = text.removeprefix(f"{key}: ").removeprefix(f"{key.rpartition('.')[0]}: ")
    return f"{place.name}: {text}"


def places(key: list[str], arguments: Sequence[str]) -> Iterator[Place]:
    """Every place on a command line, or in its configs, where a key or a section above it is written."""
    for option, value in options_with_values(arguments):
        if option in ("-c", "--config"):
            yield from places_in_file(key, Path(find_config(value)), 0)
            continue
        parts = parts_of(option.lstrip("-").rstrip("+"))
        if key[: len(parts)] == parts:
            yield Place(len(parts), option, value, is_option=True)
            yield from places_in_file(key[len(parts) :], Path(value), len(parts))


def parts_of(key: str) -> list[str]:
    """Return the parts of a dotted key, without init_args."""
    return [part for part in key.split(".") if part != "init_args"]


def places_in_file(key: list[str], file: Path, depth: int) -> Iterator[Place]:
    """The same for a YAML file that stands at the section in that depth; nothing if there is no such file."""
    if file.suffix in (".yaml", ".yml") and file.is_file():
        yield from places_in_node(key, yaml.compose(file.read_text(encoding="utf-8")), file, depth)


def places_in_node(key: list[str], node: yaml.Node | None, file: Path, depth: int) -> Iterator[Place]:
    """The same for a part of a YAML file."""
    if isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            if not key:
                yield Place(depth, f"{file}, line {entry.start_mark.line + 1}", written(entry))
            yield from places_in_node(key, entry, file, depth)
    elif isinstance(node, yaml.ScalarNode):
        yield from places_in_file(key, file.parent / node.value, depth)
    elif isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            parts = parts_of(name.value)
            if key[: len(parts)] == parts:
                if parts:
                    yield Place(depth + len(parts), f"{file}, line {name.start_mark.line + 1}", written(value))
                yield from places_in_node(key[len(parts) :], value, file, depth + len(parts))


def written(node: yaml.Node) -> str:
    """A value as it is written; of a class its name."""
    if isinstance(node, yaml.MappingNode):
        return next((written(value) for name, value in node.value if name.value == "class_path"), "")
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
