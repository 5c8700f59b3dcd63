"""Names of what a run's folder holds, and files that are there as a whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sbn_lightning.errors import UsageError

CONFIG = "config.yaml"
RESULTS = "results.json"
METRICS = "metrics.jsonl"
METRICS_TABLE = "metrics.csv"
PREDICTIONS = "predictions.csv"
CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
BEST = "best.ckpt"
LOCK = "run.lock"
RUN = "run.json"  # what a grid's runner knows of the run
RUNNER_LOCK = "runner.lock"  # of the process that started it
LOG = "run.log"  # what the run printed, where a runner started it
GRID = "grid.json"  # in the folder of a grid


@contextmanager
def whole_file(file: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Write a file under another name, wait until it is on the disk, and only then move it to its place.

    A reader never sees half of it; a process killed at any moment, or a full disk, leaves the old file as it was, and
    an error becomes a UsageError. The file's folder is made if it is missing; mode "w" writes UTF-8.
    """
    temporary = file.with_name(f".{file.name}.new")
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{file} cannot be written ({reason}); fix this and run the same command again") from error
    finally:
        temporary.unlink(missing_ok=True)
