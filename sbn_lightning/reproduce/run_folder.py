"""One run's folder: what it says of the run, and the lock of whoever trains in it."""

import fcntl
import os
import time
from enum import Enum
from pathlib import Path
from typing import Any

from sbn_lightning.reproduce.json_file import BrokenFileError, read_json, write_json


class State(Enum):
    """What is to be done about a run."""

    NEW = "not begun"
    BEGUN = "begun"  # stopped or killed: to be continued
    RUNNING = "running"  # somebody trains in it now
    FAILED = "failed"
    FINISHED = "finished"


class RunFolder:
    """Reads and writes run.json; reads what `sbn fit` and `sbn test` leave.

    run.json: `state` ("running", from its first start on; "failed"; "finished"), `attempts`, `seconds` (all attempts
    together), `error` (of the last one, or None), `config` (what the run was begun with), `runner` (host and process
    that started the last attempt).

    Args:
        path: The folder; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "run.log"

    def record(self) -> dict[str, Any]:
        """run.json; {} if there is none."""
        return read_json(self.path / "run.json")

    def update(self, **news: Any) -> None:
        """Change entries of run.json."""
        write_json(self.path / "run.json", self.record() | news)

    def results(self) -> dict[str, Any]:
        """results.json; {} if there is none."""
        return read_json(self.path / "results.json")

    def trained(self) -> bool:
        """Whether `sbn fit` got to the end of the last epoch."""
        results = self.results()
        try:
            return bool(results) and "fit" in results and results["fit"]["last_epoch"] == results["training"]["epochs"]
        except (KeyError, TypeError) as error:
            raise BrokenFileError(f"{self.path / 'results.json'} is broken ({error!r})") from error

    def finished(self) -> bool:
        """Whether it is trained, and `sbn test` took its last checkpoint."""
        if not self.trained():
            return False
        test = self.results().get("test")
        return isinstance(test, dict) and Path(str(test.get("checkpoint", ""))).name == "last.ckpt"

    def state(self) -> State:
        """What is to be done.

        Raises:
            BrokenFileError: If a file of the folder is broken.
        """
        if self.locked():
            return State.RUNNING
        if self.finished():
            return State.FINISHED
        record = self.record()
        if record.get("state") == "failed":
            return State.FAILED
        return State.BEGUN if record or (self.path / "config.yaml").exists() else State.NEW

    def begun(self) -> bool:
        """Whether it has come to train, or is about to; one that failed on its options before that has not."""
        trained = any((self.path / name).exists() for name in ("config.yaml", "results.json"))
        return trained or ((self.path / "run.json").exists() and self.locked())

    def lock(self, patience: float = 1.0) -> int | None:
        """Take the folder for this process, and for those that inherit the descriptor.

        The lock is gone as soon as the last of them has ended, however it ended; on a disk shared by many machines too,
        where that disk keeps locks (NFS does).

        Args:
            patience: Seconds to wait for another holder to end.

        Returns:
            The open file's descriptor, or None if somebody else has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "run.lock", os.O_RDWR | os.O_CREAT, 0o666)
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(descriptor)
                    return None
                time.sleep(0.05)

    def locked(self) -> bool:
        """Whether somebody trains in the folder now."""
        try:
            descriptor = os.open(self.path / "run.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask do not see each other
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)


def last_lines(log: Path, start: int = 0, count: int = 12) -> str:
    """The end of a log.

    Args:
        start: Byte from which on it is of interest.
        count: How many lines.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - 8_000))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError as error:
        return f"{log} cannot be read: {error.strerror}"
    return "\n".join([line.rstrip() for line in lines if line.strip()][-count:])
