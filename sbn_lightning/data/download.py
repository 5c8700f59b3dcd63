"""Downloading a dataset's archive, and making sure that it is the right one."""

import hashlib
import sys
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from sbn_lightning.errors import UsageError

TIMEOUT = 30.0  # seconds that a server may stay silent
BLOCK = 1 << 16


def download(url: str, md5: str, file: Path, instead: str) -> None:
    """Download url to file, which is whole and has this MD5, or is not there.

    Raises:
        UsageError: If the server does not send the archive; the text ends with `instead`, what the user can do then.
        UsageError: If it sends something else.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with open(part, "wb") as target:
            for block in _blocks(url, instead):
                digest.update(block)
                target.write(block)
        if digest.hexdigest() != md5:
            raise UsageError(f"what {url} sent is not the official archive (MD5 {md5} expected): try again later")
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def _blocks(url: str, instead: str) -> Iterator[bytes]:
    """What the server sends, piece by piece, with a progress bar on terminals."""
    columns = (f"{url.rpartition('/')[2]}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    hidden = not (sys.stdout and sys.stdout.isatty())
    try:
        with urlopen(url, timeout=TIMEOUT) as response, Progress(*columns, transient=True, disable=hidden) as progress:
            size = response.headers.get("Content-Length")
            task = progress.add_task("", total=int(size) if size else None)
            while block := response.read(BLOCK):
                progress.advance(task, len(block))
                yield block
    except (OSError, HTTPException) as error:
        raise UsageError(f"{url} could not be read ({error}); {instead}") from error
