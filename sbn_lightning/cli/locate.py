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
    """Where a key is written, a section above it, or a key below it.

    Args:
        depth: Number of parts: 2 for model.head.
        name: The option, or the file and the line.
        value: What is written there; of a class only its name.
        is_option: Whether it is an option of the command line.
    """

    depth: int
    name: str
    value: str
    is_option: bool = False

    def is_named(self, text: str) -> bool:
        """Whether the value is a word of the text."""
        return bool(self.value and re.search(rf"(?<![\w.]){re.escape(self.value)}(?!\w)", text))


def with_place(error: UsageError, arguments: Sequence[str]) -> str:
    """Return an error's text, with the place where the setting was written that it is about.

    Of several places, it is the one whose value the text names. Otherwise it is the last, which overrides the others.

    Args:
        error: Names the setting by its key.
        arguments: The command line.
    """
    text, key = str(error), error.key.split(".") if error.key else []
    found = list(places(key, arguments)) if key else []
    complaint = re.split(r", did you mean| \(known|;", text.removeprefix(f"{error.key}: "))[0]
    named = [place for place in found if place.depth >= len(key) and place.is_named(complaint)]
    deepest = max((place.depth for place in found if place.depth <= len(key)), default=0)
    place = next(iter(named or [place for place in found[::-1] if place.depth == deepest]), None)
    if place is None:
        return text
    if place.is_option:  # it names the section already
        text = text.removeprefix(f"{error.key}: ").removeprefix(f"{error.key.rpartition('.')[0]}: ")
    return f"{place.name}: {text}"


def places(key: list[str], arguments: Sequence[str]) -> Iterator[Place]:
    """Yield every place, on a command line or in its configs, of a key, of a section above it and of a key below it."""
    for option, value in options_with_values(arguments):
        if option in ("-c", "--config"):
            yield from places_in_file(key, (Path(find_config(value)),), 0)
            continue
        parts = parts_of(option.lstrip("-").rstrip("+"))
        if parts[: len(key)] == key[: len(parts)]:
            yield Place(len(parts), option, value, is_option=True)
            yield from places_in_file(key[len(parts) :], (Path(value),), len(parts))


def parts_of(key: str) -> list[str]:
    """Return the parts of a dotted key, without init_args."""
    return [part for part in key.split(".") if part != "init_args"]


def places_in_file(key: list[str], files: tuple[Path, ...], depth: int) -> Iterator[Place]:
    """The same for a section's YAML file; nothing if there is no such file.

    Args:
        key: Without the section's parts.
        files: The file, after those through which it was found.
        depth: Number of the section's parts.
    """
    *above, file = files
    if file.suffix in (".yaml", ".yml") and file.is_file() and file not in above:
        yield from places_in_node(key, yaml.compose(file.read_text(encoding="utf-8")), files, depth)


def places_in_node(key: list[str], node: yaml.Node | None, files: tuple[Path, ...], depth: int) -> Iterator[Place]:
    """The same for a part of a YAML file."""
    if isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            if not key:
                yield Place(depth, line_of(entry, files[-1]), written(entry))
            yield from places_in_node(key, entry, files, depth)
    elif isinstance(node, yaml.ScalarNode):
        yield from places_in_file(key, (*files, files[-1].parent / node.value), depth)
    elif isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            parts = parts_of(name.value)
            if parts[: len(key)] == key[: len(parts)]:
                if parts:
                    yield Place(depth + len(parts), line_of(name, files[-1]), written(value))
                yield from places_in_node(key[len(parts) :], value, files, depth + len(parts))


def line_of(node: yaml.Node, file: Path) -> str:
    """Return the file and the line in which a node starts."""
    return f"{file}, line {node.start_mark.line + 1}"


def written(node: yaml.Node) -> str:
    """Return a value as it is written; of a class its name."""
    if isinstance(node, yaml.MappingNode):
        return next((written(value) for name, value in node.value if name.value == "class_path"), "")
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
