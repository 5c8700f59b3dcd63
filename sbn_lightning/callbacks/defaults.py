"""The callbacks that every run has, and the order of a trainer's callbacks."""

from pathlib import Path

from lightning.pytorch import Callback

from sbn_lightning.callbacks.dashboard import Dashboard
from sbn_lightning.callbacks.divergence_guard import DivergenceGuard
from sbn_lightning.callbacks.loss_bar import LossBar
from sbn_lightning.callbacks.prediction_writer import PredictionWriter
from sbn_lightning.callbacks.run_record import RunRecord
from sbn_lightning.run.files import CHECKPOINTS


def default_callbacks(command: str, run_dir: Path, seed: int, progress_bar: bool) -> list[Callback]:
    """Return the callbacks that every run has besides those of its config.

    A trainer calls its callbacks in this order:

    1. DivergenceGuard (`guard_first` puts it there): the others need not know what to do about NaN.
    2. The callbacks of the config. They draw and log what an epoch gave.
    3. RunRecord, Dashboard, and the others of this list. RunRecord prints its texts, and lists the files that were
       written, when the callbacks of the config have done their work.
    4. The checkpoint callbacks, which Lightning itself puts last: they save what the others have changed.

    Args:
        command: fit, validate, test or predict.
        run_dir: The run's folder.
        seed: seed_everything of the run.
        progress_bar: Whether the run shows our progress bar.
    """
    callbacks = [DivergenceGuard(str(run_dir / CHECKPOINTS)), RunRecord(str(run_dir), seed), Dashboard()]
    return [
        *callbacks,
        *([LossBar()] if progress_bar else []),
        *([PredictionWriter(str(run_dir))] if command == "predict" else []),
    ]


def guard_first(callbacks: list[Callback]) -> list[Callback]:
    """Return a trainer's callbacks with DivergenceGuard before all others, which keep their order."""
    return sorted(callbacks, key=lambda callback: not isinstance(callback, DivergenceGuard))
