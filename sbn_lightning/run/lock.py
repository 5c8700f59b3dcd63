"""Locks of a folder; of a run's folder: one process at a time trains or tests in it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sbn_lightning.errors import LockedError, UsageError
from sbn_lightning.run.files import LOCK

PATIENCE = 1.0  # seconds to wait for a process that only looks whether the folder is locked


def acquire(folder: Path, name: str, patience: float = 0.0) -> FileLock | None:
    """Return a lock of a folder, which this process holds until it releases it or ends, however it ends.

    Args:
        folder: Made if it is missing.
        name: Of the lock's file.
        patience: Seconds to wait for another process that holds it; -1 to wait for ever.

    Returns:
        None if another process still holds it.

    Raises:
        OSError: If the folder cannot be written.
    """
    lock = FileLock(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        return None
    return lock


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold a run's folder for this process; the lock ends with the process, however it ends.

    The folder is made if it is missing, and removed again if nothing else was written into it.

    Processes on several machines see each other's lock where their shared disk keeps locks (NFS does).

    Raises:
        LockedError: If another process holds it.
        UsageError: If the folder cannot be written.
    """
    missing = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    try:
        lock = acquire(run_dir, LOCK, PATIENCE)
    except OSError as error:
        raise UsageError(
            f"the run's folder cannot be {run_dir}: {error.strerror}; name another with --run_dir DIR"
        ) from error
    if lock is None:
        raise LockedError(
            f"another process is training or testing in {run_dir}; wait until it ends, or choose another folder with "
            "--run_dir DIR"
        )
    try:
        yield
    finally:
        with suppress(OSError):
            if missing and [path.name for path in run_dir.iterdir()] == [LOCK]:
                (run_dir / LOCK).unlink()  # still held: FileLock refuses a file that was removed while it waited
                for folder in missing:
                    folder.rmdir()
        lock.release()


def is_locked(run_dir: Path, name: str = LOCK) -> bool:
    """Whether a process is training or testing in a run's folder, or holds another lock there."""
    if not (run_dir / name).exists():
        return False
    try:
        lock = acquire(run_dir, name)
    except OSError:  # the folder of another user, or a disk that cannot be written
        return False
    if lock is not None:
        lock.release()
    return lock is None
