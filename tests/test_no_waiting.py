"""Steps that are not logged never wait for the device."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from rich.console import Console
from torch.utils._python_dispatch import TorchDispatchMode

from sbn_lightning.callbacks import progress
from sbn_lightning.checkpointing.save import RunCheckpoint

EVERY, STEPS = 4, 12  # a logged step each EVERY; steps in an epoch

# Operations before which a GPU's queue must run empty: they read a value, or their result's shape depends on one, or
# (the last, torch.tensor's) they start from Python numbers, which reach a device by a copy in the foreground.
WAITING = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "histc", "_unique2",
    "unique_dim", "unique_consecutive", "repeat_interleave", "lift_fresh",
}  # fmt: skip


class Watch(TorchDispatchMode):
    """Counts the waiting operations."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITING or by_mask:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def around_steps(monkeypatch: pytest.MonkeyPatch, around: Callable[[int], AbstractContextManager[None]]) -> None:
    """Put around(batch_idx) around each training step: fetching, forward, backward, optimizer, callbacks, logging.

    After an epoch's last step it is around the validation too.
    """
    advance, on_advance_end = _TrainingEpochLoop.advance, _TrainingEpochLoop.on_advance_end

    def advance_inside(self: _TrainingEpochLoop, *args: Any) -> None:
        with around(self.batch_idx + 1):
            advance(self, *args)

    def on_advance_end_inside(self: _TrainingEpochLoop, *args: Any) -> None:
        with around(self.batch_idx):
            on_advance_end(self, *args)

    between_steps = RunCheckpoint._between_steps  # called after on_advance_end

    def between_steps_inside(self: RunCheckpoint, trainer: Trainer, epoch_ended: bool, training_ends: bool) -> None:
        with nullcontext() if epoch_ended else around(trainer.fit_loop.epoch_loop.batch_idx):
            between_steps(self, trainer, epoch_ended, training_ends)

    monkeypatch.setattr(RunCheckpoint, "_between_steps", between_steps_inside)
    monkeypatch.setattr(_TrainingEpochLoop, "advance", advance_inside)
    monkeypatch.setattr(_TrainingEpochLoop, "on_advance_end", on_advance_end_inside)


@pytest.mark.parametrize("config", ["digits_sbn", "digits_softmax", "digits_am_softmax", "digits_pedcc"])
def test_only_logged_steps_read_values(
    config: str, sbn: Callable[..., None], digits_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, Counter[str]] = {}

    @contextmanager
    def watched(batch_idx: int) -> Iterator[None]:
        with Watch() as watch:
            yield
        seen.setdefault(batch_idx, Counter()).update(watch.counts)

    around_steps(monkeypatch, watched)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "get_console", lambda: Console(force_terminal=True))  # there is a bar
    sbn(
        "fit", "--config", config, "--config", "fast", "--data.root", digits_root, "--model.backbone.width", 4,
        "--model.compile_backbone", "false", "--trainer.max_epochs", 2, "--trainer.log_every_n_steps", EVERY,
        "--data.validation_fraction", 0.01,
    )  # fmt: skip
    assert sorted(seen) == list(range(STEPS))
    logged = {EVERY * n - 1 for n in range(1, STEPS // EVERY + 1)}
    assert all(seen[step]["_local_scalar_dense"] > 0 for step in logged)  # the watch sees what there is to see
    assert {step: dict(counts) for step, counts in seen.items() if counts and step not in {0} | logged} == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="asks CUDA itself")
def test_cuda_agrees(sbn: Callable[..., None], digits_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    between = []

    @contextmanager
    def forbidden(batch_idx: int) -> Iterator[None]:
        # The first steps compile and fill caches; step 59, which ends the epoch, is logged.
        if batch_idx in range(10, 59):
            between.append(batch_idx)
            torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    around_steps(monkeypatch, forbidden)
    sbn(
        "fit", "--config", "digits_sbn", "--config", "fast", "--data.root", digits_root, "--data.batch_size", 24,
        "--trainer.accelerator", "gpu", "--trainer.devices", 1, "--trainer.max_epochs", 2,
        "--trainer.log_every_n_steps", 60,
    )  # fmt: skip
    assert len(between) == 2 * 3 * 49  # three moments around each step
