"""Locks of a folder; of a run's folder: one process at a time trains or tests in it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sbn_lightning.errors import LockedError, UsageError
from sbn_lightning.run.files import LOCK

# Seconds to wait for a process that only looks whether the folder is locked:
PATIENCE = 1.0  # when the folder is wanted
LOOK = 0.1  # when another process only looks, too


@contextmanager
def held(folder: Path, name: str, patience: float = 0.0) -> Iterator[bool]:
    """Hold a lock of a folder, which is made if it is missing; the lock ends with the process, however that ends.

    Yields whether this process has the lock: another one may still hold it after `patience` seconds (-1: wait for
    ever). Processes on several machines see each other's lock where their shared disk keeps locks (NFS does). A folder
    that cannot be written is a UsageError.
    """
    lock = FileLock(folder / name, timeout=patience, poll_interval=0.01)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            lock.acquire()
    except (OSError, NotImplementedError) as error:  # the latter on a disk that keeps no locks
        raise UsageError(f"{folder} cannot be locked or written: {error}; choose another folder") from error
    try:
        yield lock.is_locked
    finally:
        lock.release()


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold a run's folder for this process, or raise a LockedError if another process holds it.

    A folder that was missing goes again if nothing else was written into it.
    """
    missing = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    with held(run_dir, LOCK, PATIENCE) as is_ours:
        if not is_ours:
            raise LockedError(
                f"another process is training or testing in {run_dir}; wait until it ends, or choose another folder "
                "with --run_dir DIR"
            )
        try:
            yield
        finally:
            with suppress(OSError):
                if missing and [path.name for path in run_dir.iterdir()] == [LOCK]:
                    (run_dir / LOCK).unlink()  # still held: FileLock refuses a file that was removed while it waited
                    for folder in missing:
                        folder.rmdir()


def is_locked(folder: Path, name: str = LOCK) -> bool:
    """Whether a process is training or testing in a run's folder, or holds another lock of a folder."""
    if not (folder / name).exists():
        return False
    try:
        with held(folder, name, LOOK) as is_free:
            return not is_free
    except UsageError:  # the folder of another user, or a disk that cannot be written
        return False
