"""Downloading a dataset's archive, and making sure that it is the right one."""

import hashlib
import shutil
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from rich.progress import wrap_file

from sbn_lightning.errors import UsageError

TIMEOUT = 30.0  # seconds that a server may stay silent


def download(url: str, md5: str, file: Path, instead: str) -> None:
    """Download url to file, which is whole and has this MD5, or is not there.

    Raises:
        UsageError: If the download fails (the text ends with `instead`, what the user can do then), or the server sends
            something else.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    hidden = not (sys.stdout and sys.stdout.isatty())
    try:
        with urlopen(url, timeout=TIMEOUT) as response, open(part, "wb") as target:
            size = int(response.headers.get("Content-Length", 0))
            name = url.rpartition("/")[2]
            with wrap_file(response, size, description=name, transient=True, disable=hidden) as source:
                shutil.copyfileobj(source, target)
        if hashlib.md5(part.read_bytes(), usedforsecurity=False).hexdigest() != md5:
            raise UsageError(f"what {url} sent is not the official archive (MD5 {md5} expected): try again later")
        part.rename(file)
    except (OSError, HTTPException) as error:
        raise UsageError(f"{url} could not be downloaded ({error}); {instead}") from error
    finally:
        part.unlink(missing_ok=True)
