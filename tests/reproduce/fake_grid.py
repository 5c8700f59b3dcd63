"""A grid of trainings that take no time."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sbn_lightning.cli import commands

FAKE = [sys.executable, str(Path(__file__).with_name("fake_sbn.py"))]
ONE = ("--seeds", 0, "--heads", "softmax")  # a grid of one run
TWO = (*ONE, "sbn")
PROGRAM = f"""\
import sys
from sbn_lightning.cli import commands
from sbn_lightning.reproduce import runner
runner.SBN, runner.LOOK = {FAKE}, 0.2
commands.main(["reproduce", *sys.argv[1:]])
"""


class Grid:
    """`sbn reproduce` in the current folder, where another program takes the place of `sbn fit` and `sbn test`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "runs/reproduce_digits"
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: object) -> int:
        """The command in this process; returns its exit code, raises its errors."""
        try:
            commands.run(["reproduce", *map(str, arguments)])
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """The command in a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        self.started.append(process)
        return process

    def behave(self, **runs: str) -> None:
        """behave(fail="seed1", wait="softmax/seed0 sbn"): see fake_sbn; an empty text ends a behaviour."""
        for behaviour, names in runs.items():
            if names:
                (self.folder / "new").write_text(names)
                os.replace(self.folder / "new", self.folder / behaviour)
            else:
                (self.folder / behaviour).unlink(missing_ok=True)

    def calls(self, command: str = "") -> list[list[str]]:
        """Command, run, whether resumed and process of every call so far."""
        file = self.folder / "calls.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [re.sub(r"\S*reproduce_digits/", "", line).split() for line in lines if line.startswith(command)]

    def waiting(self, *arguments: object) -> "subprocess.Popen[str]":
        """The command in a process of its own, whose first run has started and waits."""
        self.behave(wait="fit")
        process = self.start(*arguments)
        wait_for(lambda: self.calls("fit"))
        return process

    def training(self) -> int:
        """The process of the first run."""
        return int(self.calls("fit")[0][-1])

    def run(self, head: str, seed: int = 0) -> Path:
        return self.root / f"digits/SmallCNN/{head}/seed{seed}"


def is_alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def record(run: Path) -> dict:
    """A run's run.json."""
    return json.loads((run / "run.json").read_text())


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
