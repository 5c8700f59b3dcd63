"""Names of what a run's folder holds, and files that are there as a whole or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sbn_lightning.errors import UsageError

CONFIG = "config.yaml"
RESULTS = "results.json"
# While a finished run is continued; they take the place of the two above at its end:
NEXT_CONFIG = "config.next.yaml"
NEXT_RESULTS = "results.next.json"
METRICS = "metrics.jsonl"
METRICS_TABLE = "metrics.csv"
EPOCH_TABLE = "results.csv"
EVALUATION = "evaluation"  # starts the names of folders that `sbn evaluate` writes
PREDICTIONS = "predictions"  # .csv
CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
FINISHED = "finished.ckpt"  # the end of a training that is being continued
PREVIOUS = "previous.ckpt"
BEST = "best.ckpt"
LOCK = "run.lock"
RUN = "run.json"  # what a grid's runner knows of the run
RUNNER_LOCK = "runner.lock"  # of the process that started it
LOG = "run.log"  # what the run printed, where a runner started it
GRID = "grid.json"  # in the folder of a grid


def user_path(text: str | Path) -> Path:
    """Return a path that a user wrote, with `~` as the home folder. Every such path comes through here, once.

    An empty text is a UsageError: it comes from a variable of the shell that is not set, and would be the current
    folder.
    """
    if text == "":
        raise UsageError("a path is empty, as of a variable of the shell that is not set; name a file or a folder")
    return Path(os.path.expanduser(text))


def read_regular(file: Path) -> bytes:
    """Return the content of a file, or raise an OSError; also for a pipe or a device, whose content may have no end."""
    if file.exists() and not file.is_file():
        raise OSError("it is not a regular file")
    return file.read_bytes()


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while piece := stream.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def whole_file(file: Path, mode: str = "w", keep_old_as: Path | None = None) -> Iterator[IO[Any]]:
    """Write a file under another name, wait until it is on the disk, and only then move it to its place.

    A reader never sees half of it; a process killed at any moment, or a full disk, leaves the old file as it was, and
    an error becomes a UsageError. The file that it replaces stays under another name, if one is given. The folder is
    made if it is missing; mode "w" writes UTF-8.
    """
    temporary = file.with_name(f".{file.name}.new")
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
            to_disk(stream)
        if keep_old_as and file.exists():
            replace_by_link(file, keep_old_as)
        rename(temporary, file)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{file} cannot be written ({reason}); fix this and run the same command again") from error
    finally:
        temporary.unlink(missing_ok=True)


def replace_by_link(source: Path, target: Path) -> None:
    """Make target the same file as source, in one step; a copy where the file system has no hard links."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")  # several processes may do this at once
    try:
        os.link(source, temporary)
        rename(temporary, target)
    except OSError:
        with whole_file(target, "wb") as copy, open(source, "rb") as original:
            shutil.copyfileobj(original, copy)
    finally:
        temporary.unlink(missing_ok=True)  # it stays if target was the same file before


def rename(source: Path, target: Path) -> None:
    """Replace target by source, and wait until the folder's list of files is on the disk."""
    os.replace(source, target)
    if os.name != "nt":  # Windows cannot open folders
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def to_disk(stream: IO[Any]) -> None:
    """Wait until what was written to a file is on the disk."""
    stream.flush()
    os.fsync(stream.fileno())
