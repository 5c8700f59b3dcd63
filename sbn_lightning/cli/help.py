"""What the commands with the options of `sbn fit` print as their help: the keys that are used first, from a table and
without importing torch; or every key, as the parser lists them."""

import contextlib
import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from sbn_lightning.cli.class_settings import settings_of
from sbn_lightning.cli.keys import CHOSEN, FIT, KEYS, SETTINGS
from sbn_lightning.reproduce.fit_options import options_in, settings
from sbn_lightning.shell import typed
from sbn_lightning.terminal import columns, two_columns

HELP = ("-h", "--help")
ALL = "all"
INDENT = 24
"""The column in which argparse writes the texts of options."""
WIDEST_VALUE = 13
"""Columns of the values; the text of a longer one starts in the next line."""

ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
"""A reference in the docstrings of Lightning, as in :class:`~a.module.Name`."""


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether one of the words of a command line asks for help."""
    return any(word in HELP for word in arguments)


def help_of(command: str, text: str, arguments: Sequence[str]) -> str:
    """Return a command's help, as wide as the terminal.

    Args:
        text: What the command does.
        arguments: The command line after the command, with --help among them. `--help all` asks for every key.
    """
    place = next(place for place, word in enumerate(arguments) if word in HELP)
    top = [f"usage: sbn {command} --config CONFIG [--KEY VALUE ...]", "", text, ""]
    if list(arguments[place + 1 : place + 2]) == [ALL]:
        return "\n".join([*top, *(wrapped(line) for line in made_by_the_parser().splitlines())])
    rest = [*arguments[:place], *arguments[place + 1 :]]
    configs = [name for option, name in options_in(rest) if option == "config"]
    of = f"the values of {' and '.join(configs)}" if configs else "their defaults"
    example = f"sbn {command} --config {' --config '.join(configs) or 'digits_sbn'} --help"
    more = [("Every key", f"{example} all")]
    if not configs:
        more.insert(0, ("A config", example))
    if command == "fit":
        more.append(("A class", "sbn fit --model.head.help PEDCCHead; likewise --model.backbone.help, --data.help, …"))
    more = [(name, typed(text)) for name, text in more]
    title = f"The most common keys, with {of}:"
    return "\n".join([*top, title, "", *table(list(rows(command, settings(rest)))), "", two_columns(*more)])


def rows(command: str, found: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (option, value, meaning) of the keys of a command, given what is set. The keys of a class are followed by
    the settings of the class that is chosen."""
    keys = [key for key in KEYS if command in key.commands]
    for number, key in enumerate(keys):
        yield f"--{key.name}", shown(found.get(key.name, key.default)), key.text
        for chosen in [name for name in (*CHOSEN, *SETTINGS) if name in found and command in FIT]:
            ends_here = key.name == chosen or key.name.startswith(f"{chosen}.")
            if ends_here and not any(later.name.startswith(f"{chosen}.") for later in keys[number + 1 :]):
                yield from settings_below(chosen, found)


def settings_below(key: str, found: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (option, value, meaning) of the settings of the class that is chosen at a key: for one of this package all
    of them, for one of torch the usual ones, and for others those that are set."""
    if key in SETTINGS:
        known = {name: (None, text) for name, text in SETTINGS[key].items() if f"{key}.{name}" in found}
    else:
        listed, start = {one.name for one in KEYS}, f"{key}."
        given = [name.removeprefix(start) for name in found if name.startswith(start) and name not in listed]
        known = settings_of(str(found[key]), CHOSEN[key]) or dict.fromkeys(given, (None, ""))
    for name, (default, text) in known.items():
        yield f"--{key}.{name}", shown(found.get(f"{key}.{name}", default)), text


def table(lines: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Yield the lines of a table in three columns."""
    width = max(len(option) for option, _, _ in lines) + 4
    values = min(max(len(value) for _, value, _ in lines), WIDEST_VALUE) + 2
    for option, value, text in lines:
        name = f"  {option}".ljust(width) + value
        if len(value) >= values:
            yield name
            name = ""
        yield two_columns((name, text), name_width=width + values)


def shown(value: Any) -> str:
    """Return a value as a command line or a config writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).rpartition(".")[2] if str(value).startswith("torch.") else str(value)


def made_by_the_parser() -> str:
    """Return the texts of all options, each in one line, with the classes that a training knows."""
    from sbn_lightning.cli.trainer import fit

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        fit(["--help"])
    text = printed.getvalue()
    return ROLE.sub(r"`\1`", text[text.index("options:\n") :]).replace("``", "`")


def wrapped(line: str) -> str:
    """Break a line of the parser's help at the terminal's width; longer names stay whole."""
    indent = " " * INDENT if line.startswith(" ") else ""
    return textwrap.fill(line, columns(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
