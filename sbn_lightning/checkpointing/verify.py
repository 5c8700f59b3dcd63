"""`sbn check-resume`: proves on the user's own machine that a killed training continues bit for bit."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from sbn_lightning.checkpointing.checkpoint_file import read_checkpoint
from sbn_lightning.checkpointing.child_training import train
from sbn_lightning.errors import UsageError, counted
from sbn_lightning.run.files import CHECKPOINTS, LAST
from sbn_lightning.terminal import show

SET_HERE = (
    "--run_dir", "--ckpt_path", "--auto_resume", "--checkpoint", "--trainer.max_steps", "--trainer.max_epochs",
    "--trainer.enable_checkpointing",
)  # fmt: skip
"""Options of `sbn fit` that `sbn check-resume` sets itself."""

OF_THE_MACHINE = {
    "seconds", "epoch_ends", "dirpath", "best_model_path", "last_model_path", "best_k_models", "kth_best_model_path",
}  # fmt: skip
"""Keys of callbacks' states whose values depend on the machine or the run's folder, not on what was computed."""

IDENTICAL = "Identical: a killed training continues bit for bit here."
NOT_IDENTICAL = (
    "Not identical: a killed training does not continue bit for bit here. On a GPU it takes "
    "--trainer.deterministic true --trainer.benchmark false. On any device, classes of your own may be "
    "the reason: callbacks whose state_dict lacks what they change, or random numbers drawn outside of torch, numpy "
    "and Python's random."
)


class KillAfter(Callback):
    """Kills its process, without a chance to save anything, at the end of the optimizer step of a number, from 1."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class Comparison(NamedTuple):
    """How many values of a kind were compared, and `name: difference` of those that differ."""

    kind: str
    compared: int
    different: list[str]


def check_resume(fit_options: Sequence[str], *, steps: int = 20) -> int:
    """Train a config twice, once with a kill in the middle, and compare the two trainings bit for bit.

    Args:
        fit_options: The options of `sbn fit`, with --config CONFIG among them.
        steps: Optimizer steps before the kill, and again after it.

    Returns:
        The exit code: 0 if the two trainings are identical, else 1.

    Raises:
        UsageError: If the options do not fit, or one of the trainings fails.
    """
    if steps < 1:
        raise UsageError(f"--steps is {steps}; it must be at least 1")
    if taken := [option for option in fit_options if option.startswith(SET_HERE)]:
        raise UsageError(f"sbn check-resume sets {taken[0].partition('=')[0]} itself; leave it out")
    if not any(option.partition("=")[0] in ("--config", "-c") for option in fit_options):
        raise UsageError("name a config, as in: sbn check-resume --config digits_sbn")
    with tempfile.TemporaryDirectory(prefix="sbn-check-resume-") as folder:
        comparisons = train_twice(fit_options, steps, Path(folder))
    print(f"\n{'':16}{'compared':>10}  different")
    for kind, compared, different in comparisons:
        text = f"{len(different)}, the first {different[0]}" if different else "none"
        print(f"{kind:16}{compared:>10,}  {text}")
    is_identical = not any(comparison.different for comparison in comparisons)
    show(("", ""), ("Result", IDENTICAL if is_identical else NOT_IDENTICAL))
    return 0 if is_identical else 1


def train_twice(fit_options: Sequence[str], steps: int, folder: Path) -> list[Comparison]:
    """Train 2·steps steps without interruption, then with a kill after the checkpoint of step `steps`; compare."""
    whole, killed = folder / "whole", folder / "killed"
    # An epoch has at least one step, so that the number of steps decides.
    options = [*fit_options, f"--trainer.max_epochs={2 * steps}", f"--trainer.max_steps={2 * steps}"]
    saving = [*options, f"--checkpoint.every_n_steps={steps}", f"--run_dir={killed}"]
    kill = [
        f"--trainer.callbacks+={KillAfter.__module__}.{KillAfter.__name__}",
        f"--trainer.callbacks.step={steps + 1}",
    ]
    with phases() as phase:
        with phase(f"Training {2 * steps} steps without interruption", 2 * steps) as on_step:
            train([*options, f"--run_dir={whole}"], 0, on_step)
        # The step after the checkpoint must be done again.
        with phase(f"Training {counted(steps, 'step')}, and kill -9 in the next one", steps + 1) as on_step:
            train([*saving, *kill], -signal.SIGKILL, on_step)
        with phase(f"Continuing from step {steps} to {2 * steps}", 2 * steps) as on_step:
            train([*saving, "--ckpt_path=last"], 0, on_step)
    return compare_checkpoints(*(run_dir / CHECKPOINTS / LAST for run_dir in (whole, killed)))


@contextmanager
def phases(
    console: Console | None = None,
) -> Iterator[Callable[[str, int], AbstractContextManager[Callable[[int], None]]]]:
    """Yield a context for each phase, given its name and its last step; within it, a function to be told the step.

    In a terminal a phase is a line with a bar, elsewhere a line when it starts.
    """
    columns = (TextColumn("{task.description:<46}"), BarColumn(12), TextColumn("{task.fields[state]}"))
    console = console or Console()
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:

        @contextmanager
        def phase(name: str, last: int) -> Iterator[Callable[[int], None]]:
            task = progress.add_task(name, total=None, state="starting")
            if progress.disable:
                print(name, flush=True)
            yield lambda step: progress.update(
                task, completed=step, total=last, state=f"{step} of {last}", refresh=True
            )
            progress.update(task, completed=last, total=last, state="done")

        yield phase


def compare_checkpoints(a: Path, b: Path) -> list[Comparison]:
    """Compare two checkpoint files: weights, buffers, optimizer, schedule, metrics, random states, position."""
    ours, theirs = (by_kind(read_checkpoint(file)) for file in (a, b))
    comparisons = []
    for kind in ours:
        one, other = dict(leaves(ours[kind])), dict(leaves(theirs[kind]))
        pairs = {name: (one.get(name), other.get(name)) for name in one | other}
        different = [f"{name}: {difference(*pair)}" for name, pair in pairs.items() if bits(pair[0]) != bits(pair[1])]
        comparisons.append(Comparison(kind, len(pairs), different))
    return comparisons


def by_kind(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return everything in a checkpoint that decides how training continues, by its kind."""
    state, processes, buffers = checkpoint["state_dict"], checkpoint["processes"], checkpoint["run"]["buffers"]
    averaging = {name: checkpoint[name] for name in ("current_model_state", "averaging_state") if name in checkpoint}
    return {
        "weights": {name: state[name] for name in state if name not in buffers} | averaging,
        "buffers": {name: state[name] for name in state if name in buffers},
        "optimizer": [checkpoint["optimizer_states"], checkpoint.get("MixedPrecision", {})],
        "schedule": checkpoint["lr_schedulers"],
        "metrics": {
            "of each process": [process["metrics"] for process in processes],
            "logged": checkpoint["callback_metrics"],
            "callbacks": checkpoint["callbacks"],
        },
        "random states": [process["random"] for process in processes],
        "position": {name: checkpoint[name] for name in ("loops", "epoch", "global_step")},
    }


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of each tensor and plain value in nested dicts and lists."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in OF_THE_MACHINE:
                yield from leaves(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def bits(value: Any) -> Any:
    """Return what is equal for values that are equal in every bit and of the same type only."""
    if isinstance(value, Tensor):
        return value.dtype, value.shape, value.reshape(-1).view(torch.uint8).numpy().tobytes()
    return repr(value)


def difference(a: Any, b: Any) -> str:
    """Return how two values differ, in a few words."""
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape:
        return f"up to {(a.double() - b.double()).abs().max():.3g}"
    texts = [f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value) for value in (a, b)]
    return " against ".join(text if len(text) <= 40 else f"{text[:39]}…" for text in texts)
