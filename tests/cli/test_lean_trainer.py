"""Hooks that do nothing are not called, and all others are, however they were defined."""

from dataclasses import dataclass
from typing import Any

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LambdaCallback
from opened_data import quiet_trainer

from sbn_lightning.cli.lean_trainer import PER_BATCH, skip_empty_hooks


class Own(Callback):
    def on_train_batch_end(self, *_: Any) -> None:
        pass


class Inherited(Own):
    pass


class OnInstance(Callback):
    def __init__(self) -> None:
        self.on_train_batch_end = lambda *_: None


@dataclass(frozen=True)
class Frozen(Own):
    every: int = 1


@pytest.mark.parametrize(
    "callback", [Own(), Inherited(), OnInstance(), Frozen(), LambdaCallback(on_train_batch_end=lambda *_: None)]
)
def test_only_hooks_that_do_something_stay(callback: Callback) -> None:
    trainer = quiet_trainer(accelerator="cpu")
    trainer.callbacks = [callback]
    skip_empty_hooks(trainer)
    assert [name for name in PER_BATCH if callable(getattr(callback, name))] == ["on_train_batch_end"]
