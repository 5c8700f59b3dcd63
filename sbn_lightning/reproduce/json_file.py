"""JSON files that are never seen half-written, whatever happens to who writes them."""

import json
import os
from pathlib import Path
from typing import Any


class BrokenFileError(ValueError):
    """A file that does not hold what it should."""


def read_json(path: Path) -> dict[str, Any]:
    """A file's content; {} if there is none.

    Raises:
        BrokenFileError: If it holds something else than one JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise BrokenFileError(f"{path} is broken ({error})") from error
    if not isinstance(content, dict):
        raise BrokenFileError(f"{path} is broken (it holds no JSON object)")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file as a whole.

    Raises:
        OSError: If it cannot be written, on a full disk for one; the old file is then still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(
            f"{path} cannot be written: {error.strerror}; mend that, and start the same command again: what is "
            "finished stays finished"
        ) from error
