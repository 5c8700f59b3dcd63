"""Files that are there as a whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sbn_lightning.errors import UsageError


@contextmanager
def whole_file(file: Path, mode: str) -> Iterator[IO[Any]]:
    """Write a file under another name, wait until it is on the disk, and only then put it in its place.

    A reader never sees half of it; a process killed at any moment, or a full disk, leaves the old one as it was.

    Args:
        file: Its folder is made if it is missing.
        mode: "w" for text, "wb" for bytes.

    Raises:
        UsageError: If it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.new")
    try:
        with open(temporary, mode, newline="" if mode == "w" else None) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{file} cannot be written ({error})") from error
