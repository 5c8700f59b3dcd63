"""What a user is told. The command prints these errors in one line; every other exception is a bug and keeps its
traceback."""

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """A command, a setting or a file that cannot be used as it is; the text says what is wrong and what to do."""

    exit_code = 2


class DivergenceError(UsageError):
    """Training met a loss, a weight or a running statistic that is NaN or infinite; the text says where."""

    exit_code = 3


class LockedError(UsageError):
    """Another process is training or testing in the run's folder (EX_TEMPFAIL: the same command works later)."""

    exit_code = 75


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the closest known word, whatever its case, or an empty string if none is close."""
    names = {name.lower(): name for name in known if name != word}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.7)
    return f", did you mean {names[close[0]]!r}?" if close else ""
