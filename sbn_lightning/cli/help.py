"""What `sbn fit --help` prints. It is kept in a file, since making it takes seconds: Lightning has to be imported.

As long as the kept text is up to date, torch is not imported.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import user_path, whole_file

INDENT = 24
"""The column in which argparse writes the texts of options."""


def help_of(command: str, text: str) -> str:
    """Return what a command with the options of `sbn fit` prints as its help, as wide as the terminal.

    Args:
        text: What the command does.
    """
    file = kept_file()
    options = read_kept(file)
    if options is None:
        options = made_by_the_parser()
        keep(file, options)
    lines = [usage(command), "", text, "", *options.splitlines()]
    width = shutil.get_terminal_size().columns - 2
    return "\n".join(wrapped(line, width) for line in lines)


def usage(command: str) -> str:
    """Return the first line of a command's help."""
    return f"usage: sbn {command} --config CONFIG [--KEY VALUE ...]"


def wrapped(line: str, width: int) -> str:
    """Break a line of a help into lines of at most this width; longer names stay whole."""
    indent = " " * INDENT if line.startswith(" ") else ""
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def made_by_the_parser() -> str:
    """Return the texts of all options, each in one line, with the classes that a training knows."""
    from sbn_lightning.cli.trainer import fit

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        fit(["--help"])
    text = printed.getvalue()
    return text[text.index("options:\n") :]


def kept_file() -> Path:
    """Return the file of the kept help. Each Python, and each list of places to import modules from, has its own."""
    places = [path for path in sys.path if path not in ("", os.getcwd())]
    key = hashlib.sha256(repr((sys.version, places, __file__)).encode()).hexdigest()[:16]
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "sbn-lightning" / f"help-{key}.json"


def read_kept(file: Path) -> str | None:
    """Return the kept text; None if there is none, or if a file that was imported to make it has changed."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return str(kept["text"]) if kept["made_from"] == moments(kept["made_from"]) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # or what is there is not a kept help
        return None


def keep(file: Path, text: str) -> None:
    """Keep a text, with the times of all files that were imported to make it, and of their folders, where new files may
    appear. Nothing is kept if the file cannot be written, or if there is no home folder.
    """
    if not file.is_absolute():  # `~` stays in it without a home folder
        return
    modules = [path for module in list(sys.modules.values()) if (path := getattr(module, "__file__", None))]
    files = [path for path in dict.fromkeys(modules) if os.path.isfile(path)]
    folders = dict.fromkeys(os.path.dirname(path) for path in files)
    with contextlib.suppress(UsageError, OSError), whole_file(file) as stream:
        json.dump({"made_from": moments([*files, *folders]), "text": text}, stream)


def moments(paths: Iterable[str]) -> dict[str, int]:
    """Return {path: the time of its last change}, in nanoseconds."""
    return {path: os.stat(path).st_mtime_ns for path in paths}
