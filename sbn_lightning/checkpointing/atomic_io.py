"""How a checkpoint gets onto the disk so that a good one is there at every moment."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import LAST, PREVIOUS


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, waits until it is on the disk, and only then gives it its name.

    A process killed at any moment, or a full disk, leaves the old file as it is. The file that `last.ckpt` replaces
    stays as `previous.ckpt`. Reading takes tensors and plain data only, no code.

    Attributes:
        read: {path: content} of what has been read already. It is handed over once, and not kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[str, dict[str, Any]] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        temporary = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            if path.name == LAST and path.exists():
                replace_by_link(path, path.with_name(PREVIOUS))
            rename(temporary, path)
        except (OSError, RuntimeError) as error:  # torch's writer turns some of the system's errors into RuntimeErrors
            temporary.unlink(missing_ok=True)
            kept = f"; the one before is still there, in {path}" if path.exists() else ""
            raise UsageError(f"the checkpoint {path} cannot be written ({error}){kept}; training stops") from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint into the CPU's memory, whatever `weights_only` says: no code."""
        return self.read.pop(str(path), None) or torch.load(path, map_location=map_location, weights_only=True)


def replace_by_link(source: Path, target: Path) -> None:
    """Make target the same file as source, in one step; a copy where the file system has no hard links.

    Raises:
        UsageError: If it cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")  # several processes may do this at once
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
            with open(temporary, "rb") as copy:
                os.fsync(copy.fileno())
        rename(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{target} cannot be written ({error}); make room there, or remove it") from error


def rename(source: Path, target: Path) -> None:
    """Replace target by source, and wait until the folder's list of files is on the disk."""
    os.replace(source, target)
    if os.name != "nt":  # Windows cannot open folders
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
