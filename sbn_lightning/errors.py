"""What a user is told. The command prints these errors in one line; every other exception is a bug and keeps its
traceback."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

HOW_TO_INSTALL = "install sbn-lightning with all that it needs: pip install -e . in the folder of its pyproject.toml"


class UsageError(ValueError):
    """A command, a setting or a file that cannot be used as it is.

    Args:
        text: What is wrong and what to do, in one sentence.
        key: The key of the setting, as in optimizer.lr; the command adds the file and the line in which it stands.
    """

    exit_code = 2

    def __init__(self, text: str, key: str = "") -> None:
        super().__init__(text)
        self.key = key


class DivergenceError(UsageError):
    """Training met a loss, a weight or a running statistic that is NaN or infinite; the text says where."""

    exit_code = 3


class LockedError(UsageError):
    """Another process is training or testing in the run's folder (EX_TEMPFAIL: the same command works later)."""

    exit_code = 75


def out_of_memory(error: MemoryError | RuntimeError) -> UsageError | None:
    """Return what a user is told if an error of Python, numpy or torch says that memory is used up; None if not."""
    if not isinstance(error, MemoryError) and not re.search("out of memory|can't allocate memory", str(error)):
        return None
    amount = re.search(r"to allocate ([\d.]+ \w+)", str(error))
    asked = f" for another {amount[1]}" if amount else ""
    return UsageError(f"there is not enough memory{asked}; choose a smaller --data.batch_size or a smaller network")


def printable(text: str) -> str:
    r"""Return a text with its control characters, line breaks and bytes that are not UTF-8 as escapes: \n, \x1b, \xff.

    Names of files may contain any of these; a terminal would obey them, and a figure could not be drawn.
    """
    if text.isprintable():  # as most texts are, which this says in no time
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") else char for char in text)


def _escaped(char: str) -> str:
    is_byte = "\udc80" <= char <= "\udcff"  # by os.fsdecode
    return f"\\x{ord(char) - 0xDC00:02x}" if is_byte else ascii(char)[1:-1]


def named(names: Iterable[str], at_most: int = 5) -> str:
    """Return the names as a list in words; of many, the first few and how many there are besides."""
    names = list(names)
    more = [f"and {len(names) - at_most:,} more"] if len(names) > at_most else []
    return ", ".join([*names[:at_most], *more])


def counted(number: int, noun: str, plural: str = "s") -> str:
    """Return a number of things: `1 image`, `1,437 images`; with the ending of the plural."""
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the closest known word, in any case, or an empty string if none is close."""
    names = {name.lower(): name for name in known if name != word}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.7)
    return f", did you mean {names[close[0]]!r}?" if close else ""
