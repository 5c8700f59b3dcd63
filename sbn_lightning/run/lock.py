"""The lock of a run's folder: one process at a time trains or tests in it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sbn_lightning.errors import LockedError, UsageError
from sbn_lightning.run.files import LOCK

PATIENCE = 1.0  # seconds to wait for a process that only looks whether the folder is locked


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold a run's folder for this process; the lock ends with the process, however it ends.

    The folder is made if it is missing, and removed again if nothing was written into it.

    Processes on several machines see each other's lock where their shared disk keeps locks (NFS does).

    Raises:
        LockedError: If another process holds it.
        UsageError: If the folder cannot be written.
    """
    lock = FileLock(run_dir / LOCK, timeout=PATIENCE)
    missing = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"another process is training or testing in {run_dir}; wait until it ends, or choose another folder with "
            "--run_dir DIR"
        ) from error
    except OSError as error:
        raise UsageError(
            f"the run's folder cannot be {run_dir}: {error.strerror}; name another with --run_dir DIR"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            if missing and [path.name for path in run_dir.iterdir()] == [LOCK]:
                (run_dir / LOCK).unlink()  # still held: FileLock does not take a file that was removed meanwhile
                for folder in missing:
                    folder.rmdir()
        lock.release()


def is_locked(run_dir: Path) -> bool:
    """Whether a process is training or testing in a run's folder."""
    if not (run_dir / LOCK).exists():
        return False
    try:
        with FileLock(run_dir / LOCK, blocking=False):
            return False
    except Timeout:
        return True
