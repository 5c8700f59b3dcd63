"""Ways to interrupt a training, and what becomes of it when it is continued."""

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from sbn_lightning.checkpointing.verify import compare_checkpoints
from sbn_lightning.run.records import read_results
from tests.soak.training import TIMEOUT, Training, end, members, wait_for_checkpoint

SECONDS = 1.5
"""An interruption comes within this time after the first checkpoint."""


@dataclass(frozen=True)
class Outcome:
    """What became of an interrupted training.

    Args:
        good: Whether it ended like the uninterrupted one, bit for bit, and all else was as it should be.
        said: What was not; empty if all was.
        seconds: From the signal to the end of the process.
    """

    good: bool
    said: str = ""
    seconds: float = 0.0


def start_whole(training: Training) -> None:
    """Train without interruption.

    Raises:
        RuntimeError: If that fails.
    """
    code = run_to_the_end(training, training.whole)
    if code != 0:
        raise RuntimeError(f"the uninterrupted training ended with {code}; see {training.whole}.log")


def run_to_the_end(training: Training, run_dir: Path) -> int:
    """Start a training, or go on with it; its exit code."""
    process = training.start(run_dir)
    try:
        return process.wait(timeout=TIMEOUT)
    finally:
        end(process)


def kill_at_random(training: Training, name: object, chance: random.Random, which: str = "both") -> Outcome:
    """Kill a training at a random moment after its first checkpoint, and continue it.

    Args:
        which: `both` for all its processes at once, `one` for one of them; the rest then has to end by itself, or is
            ended as a job manager would do it.
    """
    run_dir = training.run_dir(name)
    process = training.start(run_dir)
    try:
        wait_for_checkpoint(process, run_dir)
        time.sleep(chance.uniform(0, SECONDS))
        if which == "one" and (alive := members(process)):
            os.kill(chance.choice(alive[: training.devices]), signal.SIGKILL)
            time.sleep(1)
    finally:
        end(process)
    return continue_to_the_end(training, name)


def stop_by_signal(training: Training, name: object, chance: random.Random) -> Outcome:
    """Send SIGTERM at a random moment after the first checkpoint; it must save, end with 143, and be continued."""
    run_dir = training.run_dir(name)
    process = training.start(run_dir)
    try:
        wait_for_checkpoint(process, run_dir)
        time.sleep(chance.uniform(0, SECONDS))
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=TIMEOUT)
        seconds = time.monotonic() - sent
    finally:
        end(process)
    outcome = continue_to_the_end(training, name)
    if code != 143:
        return Outcome(False, f"{name}: exit code {code}", seconds)
    return Outcome(outcome.good and seconds < 5, outcome.said or f"{name}: {seconds:.1f} s" * (seconds >= 5), seconds)


def continue_to_the_end(training: Training, name: object) -> Outcome:
    """Continue an interrupted training and compare it with the uninterrupted one."""
    run_dir = training.run_dir(name)
    if read_results(run_dir).fit:
        return Outcome(False, f"{training.head} {name}: it had ended before it was interrupted")
    code = run_to_the_end(training, run_dir)
    if code != 0:
        return Outcome(False, f"{training.head} {name}: continued, it ended with {code}")
    checkpoints = (folder / "checkpoints/last.ckpt" for folder in (training.whole, run_dir))
    different = [group for group in compare_checkpoints(*checkpoints) if group.different]
    return Outcome(not different, "; ".join(f"{training.head} {name}: {group.different[0]}" for group in different))
