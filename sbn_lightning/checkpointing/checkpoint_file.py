"""A checkpoint's file: a good one is on the disk at every moment, and reading one of unknown origin runs no code."""

import hashlib
import re
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import LAST, PREVIOUS, whole_file

PARTS: dict[type, tuple[str, ...]] = {
    dict: ("state_dict", "hyper_parameters", "callbacks", "loops", "run", "callback_metrics"),
    list: ("optimizer_states", "lr_schedulers", "processes"),
    int: ("epoch", "global_step"),
    str: ("pytorch-lightning_version",),
}

MOST, DEEPEST = 2_000_000, 100
"""Values in a checkpoint, and how deep they may be nested."""

COUNTS = {"ready", "started", "processed", "completed"}
"""What Lightning counts in its loops."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """How Lightning writes and reads checkpoints: as a whole or not at all, and without running code.

    The file that `last.ckpt` replaces stays as `previous.ckpt`.

    Attributes:
        read: {path: content} of what has been read already. It is handed over once, and not kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[str, dict[str, Any]] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        try:
            with whole_file(path, "wb", path.with_name(PREVIOUS) if path.name == LAST else None) as file:
                torch.save(checkpoint, file)
        except (UsageError, RuntimeError) as error:  # torch's writer turns some of the system's errors into the latter
            kept = f"; the one before is still there, in {path}" if path.exists() else ""
            reason = error.__cause__ or error
            raise UsageError(f"the checkpoint {path} cannot be written ({reason}){kept}; training stops") from error

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: Any = None) -> dict[str, Any]:
        """Return what a checkpoint holds, on the CPU, whatever the other arguments say."""
        return self.read.pop(str(path), None) or read_checkpoint(path)


def read_checkpoint(file: str | Path | IO[bytes]) -> dict[str, Any]:
    """Return everything that a checkpoint holds, on the CPU.

    A damaged file, or one that holds more than plain data and tensors, is a UsageError.
    """
    try:
        with ZipFile(file) as archive:
            if any(member.compress_type != ZIP_STORED for member in archive.infolist()):  # torch never compresses
                raise UsageError("it is compressed, and could fill any memory")
            if damaged := archive.testzip():  # torch does not compare the checksums that it writes
                raise UsageError(f"{damaged} in it is damaged")
        rewind(file)
        stored = torch.load(file, map_location="cpu", weights_only=True)
        rewind(file)  # for the next reader
        check_nesting(stored)
        check_parts(stored)
    except Exception as error:  # whatever is wrong in the file, the user needs its name
        raise UsageError(f"{file} is not a checkpoint that can be loaded safely: {reason(error)}") from error
    return stored  # type: ignore[no-any-return]


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a checkpoint's file, hexadecimal, as an evaluation of it is recorded with."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while piece := stream.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def rewind(file: str | Path | IO[bytes]) -> None:
    if not isinstance(file, str | Path):
        file.seek(0)


def check_nesting(stored: Any) -> None:
    """Refuse values that could not all be read: one may contain itself, or the same ones again and again."""
    level, count = [stored], 1
    for _ in range(DEEPEST):
        containers = [value for value in level if isinstance(value, dict | list | tuple)]
        count += sum(map(len, containers))
        if not containers or count > MOST:
            break
        level = [entry for one in containers for entry in (one.values() if isinstance(one, dict) else one)]
    if containers:
        raise UsageError("its values are nested too deeply, or contain themselves")


def check_parts(stored: Any) -> None:
    if not isinstance(stored, dict) or "state_dict" not in stored:
        raise UsageError("it holds no weights under 'state_dict'")
    for kind, names in PARTS.items():
        for name in names:
            if name in stored and not isinstance(stored[name], kind):
                raise UsageError(f"its {name!r} is a {type(stored[name]).__name__}, not a {kind.__name__}")
    run, processes = stored.get("run", {}), stored.get("processes", [])
    parts = [run.get("settings", {}), run.get("images", {}), *processes]
    if not all(isinstance(part, dict) for part in parts) or not all({"random", "metrics"} <= {*p} for p in processes):
        raise UsageError("the state of the run in it cannot be read")
    for name, weight in stored["state_dict"].items():
        if not isinstance(name, str) or not isinstance(weight, torch.Tensor):
            raise UsageError(f"its weight {name!r} is not a tensor")

    for name, value in stored.get("callback_metrics", {}).items():
        if not isinstance(value, torch.Tensor):
            raise UsageError(f"its logged value {name!r} is not a tensor")
    check_counts(stored.get("loops", {}))


def check_counts(loops: Any) -> None:
    """Refuse what is not a number where Lightning counts epochs and batches."""
    for name, value in loops.items() if isinstance(loops, dict) else ():
        if name in COUNTS and not isinstance(value, int):
            raise UsageError(f"its count {name!r} is not a number")
        check_counts(value)


def reason(error: Exception) -> str:
    """Return one line; torch's own text advises to load the file all the same."""
    text = str(error).strip()
    if match := re.search(r"GLOBAL ([\w.]*\w)", text):
        return f"it would run {match[1]}; only plain data and tensors are read"
    if not text or "Weights only load failed" in text:
        return "it is damaged, or holds more than plain data and tensors"
    return text.splitlines()[0]
