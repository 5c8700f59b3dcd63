"""A short training on the digits, as a process of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HEADS = ("sbn", "softmax", "am_softmax", "pedcc", "scheduled_scale", "center_loss")
"""They learn in different ways, and have different state besides parameters: statistics, a schedule, centers."""
EPOCHS = 12  # of 12 steps
VARIANTS = {
    "plateau": {
        "lr_scheduler": "ReduceLROnPlateau",
        "lr_scheduler.monitor": "train/loss",
        "lr_scheduler.mode": "max",  # of a loss that falls: the learning rate is halved after each epoch
        "lr_scheduler.factor": 0.5,
        "lr_scheduler.patience": 0,
    },
    "ema": {"trainer.callbacks+": "EMAWeightAveraging", "trainer.callbacks.decay": 0.9},
    "accumulation": {
        "trainer.callbacks+": "GradientAccumulationScheduler",
        "trainer.callbacks.scheduling": "{2: 3, 5: 2}",
    },
}
"""Options of trainings whose callbacks or schedule hold a state of their own."""
TIMEOUT = 300.0
"""Seconds after which a training is taken to hang."""


@dataclass(frozen=True)
class Training:
    """What is trained.

    Args:
        head: Of configs/digits_HEAD.yaml.
        devices: Number of processes.
        folder: Of the runs and the data.
        variant: Of VARIANTS; empty for none.
    """

    head: str
    devices: int
    folder: Path
    variant: str = ""

    @property
    def whole(self) -> Path:
        """Run folder of the uninterrupted training."""
        return self.run_dir("whole")

    def run_dir(self, name: object) -> Path:
        """Folder of a run of this training."""
        return self.folder / f"{self.head}_{self.devices}_{self.variant}_{name}"

    def start(self, run_dir: Path) -> subprocess.Popen[str]:
        """Start `sbn fit`, or go on where it was stopped, in a process group of its own."""
        options = {
            "config": f"digits_{self.head}",
            "run_dir": run_dir,
            "auto_resume": "true",
            "data.root": self.folder / "data",
            "model.backbone.width": 8,
            "trainer.accelerator": "cpu",
            "trainer.devices": self.devices,
            "trainer.strategy": "ddp" if self.devices > 1 else "auto",
            "trainer.max_epochs": EPOCHS,
            "trainer.enable_progress_bar": "false",
            "checkpoint.every_n_steps": 5,
            **VARIANTS.get(self.variant, {}),
        }
        command = [
            sys.executable,
            "-m",
            "sbn_lightning",
            "fit",
            *(f"--{key}={value}" for key, value in options.items()),
        ]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        log = open(run_dir.with_suffix(".log"), "a")  # noqa: SIM115  (the process keeps it)
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True, start_new_session=True)


def end(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a process's group, and take leave of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def members(process: subprocess.Popen[str]) -> list[int]:
    """Ids of the living processes of a group, the first one first."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "-g", str(process.pid)], capture_output=True, text=True).stdout
    rows = (line.split() for line in listed.splitlines())
    return sorted(int(pid) for pid, state in rows if not state.startswith("Z"))


def wait_for_checkpoint(process: subprocess.Popen[str], run_dir: Path) -> bool:
    """Wait until there is something to continue; whether the training still runs then."""
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until and process.poll() is None:
        if (run_dir / "checkpoints/last.ckpt").exists():
            return True
        time.sleep(0.01)
    return False
