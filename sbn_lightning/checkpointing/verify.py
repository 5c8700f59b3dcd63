"""`sbn check-resume`: proves on the user's own machine that a killed training continues bit for bit."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.checkpointing.atomic_io import LAST
from sbn_lightning.checkpointing.compare_checkpoints import Group, compare_checkpoints
from sbn_lightning.cli.commands import CommandParser
from sbn_lightning.errors import UsageError

OURS = (
    "--run_dir",
    "--ckpt_path",
    "--auto_resume",
    "--checkpoint",
    "--trainer.max_steps",
    "--trainer.max_epochs",
    "--trainer.enable_checkpointing",
)


class KillAfter(Callback):
    """Kills its process, without a chance to save anything, at the end of an optimizer step.

    Args:
        step: Number of the step, from 1.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def check_resume(arguments: Sequence[str]) -> int:
    """Carry out `sbn check-resume`, given the command line after it; the exit code is 0 if the two trainings are
    identical, else 1.

    Raises:
        UsageError: If the arguments do not fit, or one of the trainings fails.
    """
    parser = CommandParser("check-resume", "--config CONFIG [--steps N] [--KEY VALUE ...]")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps before the kill, and again after it")
    parser.epilog = "All other options are those of sbn fit."
    options, fit = parser.parse_known_args(arguments)
    if options.steps < 1:
        raise UsageError(f"--steps is {options.steps}; it must be at least 1")
    if taken := [option for option in fit if option.startswith(OURS)]:
        raise UsageError(f"sbn check-resume sets {taken[0].partition('=')[0]} itself; leave it out")
    if not any(option.partition("=")[0] in ("--config", "-c") for option in fit):
        raise UsageError("sbn check-resume needs --config CONFIG; see sbn check-resume --help")
    with tempfile.TemporaryDirectory(prefix="sbn-check-resume-") as folder:
        groups = train_twice(fit, options.steps, Path(folder))
    print(verdict(groups), flush=True)
    return int(any(group.different for group in groups))


def train_twice(fit: Sequence[str], steps: int, folder: Path) -> list[Group]:
    """Train 2·steps steps in one go; then again with a kill after the checkpoint of step `steps`; compare."""
    whole, killed = folder / "whole", folder / "killed"
    # An epoch has a step at least, so that the steps decide.
    command = [*fit, f"--trainer.max_epochs={2 * steps}", f"--trainer.max_steps={2 * steps}"]
    saving = f"--checkpoint.every_n_steps={steps}"
    kill = f"--trainer.callbacks+={KillAfter.__module__}.{KillAfter.__name__}"
    print(f"Training {2 * steps} steps without interruption", flush=True)
    run([*command, f"--run_dir={whole}"], 0)
    # One step behind the checkpoint: what is done in it is lost, and must be done again.
    print(f"Training {steps} steps, and kill -9 in the one after", flush=True)
    run([*command, saving, f"--run_dir={killed}", kill, f"--trainer.callbacks.step={steps + 1}"], -signal.SIGKILL)
    print(f"Continuing from step {steps} to {2 * steps}", flush=True)
    run([*command, saving, f"--run_dir={killed}", "--ckpt_path=last"], 0)
    return compare_checkpoints(*(run_dir / "checkpoints" / LAST for run_dir in (whole, killed)))


def run(options: Sequence[str], expected: int) -> None:
    """Run `sbn fit` as a process of its own, with its processes all ended afterwards.

    Raises:
        UsageError: If it does not end as expected; with the end of what it said.
    """
    program = [sys.executable, "-m", "sbn_lightning", "fit", *options, "--trainer.enable_progress_bar=false"]
    process = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True
    )
    try:
        said, _ = process.communicate()
    finally:
        end_group(process.pid)
    if process.returncode != expected:
        last = said.strip().splitlines()[-1:] or ["nothing was said"]
        raise UsageError(f"the training ended with {process.returncode}, not {expected}: {last[0]}")


def end_group(group: int) -> None:
    """Kill what is left of a process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def verdict(groups: Sequence[Group]) -> str:
    """A table with a line for each kind of state, and what follows from it."""
    lines = [f"\n{'':16}{'compared':>10}  different"]
    for group in groups:
        said = f"{len(group.different)}, the first {group.first}" if group.different else "none"
        lines.append(f"{group.name:16}{group.compared:>10,}  {said}")
    if any(group.different for group in groups):
        lines.append(
            "\nNot identical: a killed training does not continue bit for bit here. On a GPU it takes "
            "--trainer.deterministic true --trainer.benchmark false; random numbers drawn outside of torch, numpy and "
            "Python's random cannot be restored."
        )
    else:
        lines.append("\nIdentical: a killed training continues bit for bit here.")
    return "\n".join(lines)
