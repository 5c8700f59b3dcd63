"""What a user is told. The command prints these errors in one line; every other exception is a bug and keeps its
traceback."""

import difflib
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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the closest known word, in any case, or an empty string if none is close."""
    names = {name.lower(): name for name in known if name != word}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.7)
    return f", did you mean {names[close[0]]!r}?" if close else ""
