"""The commands in texts, written so that the shell in which a text is read finds them.

`sbn` is on the PATH only where its environment is activated. Whoever calls it as `.venv/bin/sbn` or `python -m
sbn_lightning` can type only that.
"""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

SBN = "fit|validate|test|predict|evaluate|export|prepare|reproduce|report|check-resume|--help"
IN_TEXT = re.compile(rf"(?<![\w./-])(sbn(?=\s(?:{SBN})\b)|tensorboard(?=\s--))")
"""A command of this package, or of one that it needs, in a text; not in a path, and not the word alone."""
MODULES = {"sbn": "sbn_lightning", "tensorboard": "tensorboard.main"}
"""{command: the module that does the same}."""


def typed(text: str) -> str:
    """Return a text with its commands as they have to be typed: `.venv/bin/sbn test …` if it was called like that."""
    return IN_TEXT.sub(lambda found: program(found[1]), text)


def program(name: str) -> str:
    """Return how this shell calls a command of the environment that this program runs in."""
    found, called = shutil.which(name), Path(sys.argv[0])
    own_folders = (os.path.realpath(path.parent) for path in (Path(sys.executable), called))
    if found and os.path.realpath(Path(found).parent) in own_folders:
        return name
    if called.name == "__main__.py" and called.parent.name == MODULES["sbn"]:
        return f"{shlex.quote(sys.orig_argv[0])} -m {MODULES[name]}"
    beside = called.with_name(name)
    return shlex.quote(str(beside)) if called.name == "sbn" and beside.exists() else name
