"""Packs the datasets of a grid before its runs start."""

import shlex
import subprocess
from collections.abc import Sequence

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.board import Board


def prepare(board: Board, sbn: Sequence[str], always: bool = False) -> None:
    """Pack each dataset once, before several runs would at the same time or fail for the same reason.

    Args:
        always: Also where the only run left could do it itself: a compute node may have no internet.
    """
    kinds: dict[str, list[str]] = {}
    for folder, run in board.runs.items():
        data = sorted((key, str(value)) for key, value in run.config.items() if key.partition(".")[0] == "data")
        kinds.setdefault(str(data), []).append(folder)
    for folders in kinds.values():
        begun = any((board.root / folder / "results.json").exists() for folder in folders)
        if (begun or len(folders) == 1) and not always:
            continue
        command = ["prepare", *board.runs[folders[0]].arguments]
        code = subprocess.run([*sbn, *command], stdin=subprocess.DEVNULL).returncode
        if code:
            raise UsageError(
                f"the data cannot be prepared, see above (sbn {shlex.join(command)} ended with exit code {code}); "
                "--datasets runs others"
            )
