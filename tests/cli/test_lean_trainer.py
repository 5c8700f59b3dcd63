"""What a step leaves out: hooks that do nothing, and contexts that measure nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from opened_data import quiet_trainer
from torch import Tensor, nn

from sbn_lightning.cli.lean_trainer import PER_BATCH, Unprofiled, skip_empty_hooks


class Seen(Callback):
    """Notes the hooks that it defines; one more is inherited, one is set on the object."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.on_after_backward = lambda *_: self.calls.append("on_after_backward")

    def on_train_batch_end(self, *_: Any) -> None:
        self.calls.append("on_train_batch_end")


class SeenMore(Seen):
    def on_before_zero_grad(self, *_: Any) -> None:
        self.calls.append("on_before_zero_grad")


class Model(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.net(batch).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_only_hooks_that_do_something_are_called() -> None:
    seen, started = SeenMore(), []
    other = LambdaCallback(on_train_batch_start=lambda *_: started.append(True))
    trainer = Trainer(
        accelerator="cpu", callbacks=[seen, other], enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False, logger=False, max_epochs=1, profiler=Unprofiled(),
    )  # fmt: skip
    skip_empty_hooks(trainer)
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(3, 2)))
    assert seen.calls == ["on_before_zero_grad", "on_after_backward", "on_train_batch_end"] * 3
    assert started == [True] * 3
    defined = {name for name in PER_BATCH if getattr(seen, name) is not None}
    assert defined == {"on_before_zero_grad", "on_after_backward", "on_train_batch_end"}


@dataclass(frozen=True)
class Frozen(Callback):
    every: int = 1

    def on_train_batch_end(self, *_: Any) -> None:
        pass


def test_a_callback_whose_attributes_cannot_be_set_is_no_exception() -> None:
    trainer = quiet_trainer(accelerator="cpu")
    trainer.callbacks = [Frozen()]
    skip_empty_hooks(trainer)
    assert [name for name in PER_BATCH if callable(getattr(trainer.callbacks[0], name))] == ["on_train_batch_end"]


@pytest.mark.parametrize(("options", "is_users"), [([], False), (["--trainer.profiler", "simple"], True)])
def test_a_chosen_profiler_stays(
    options: list[str], is_users: bool, sbn: Callable[..., None], digits_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profilers: list[Any] = []
    monkeypatch.setattr(Trainer, "fit", lambda self, *_, **__: profilers.append(self.profiler))
    sbn("fit", "--config", "digits_sbn", "--data.root", digits_root, *options)
    assert isinstance(profilers[0], Unprofiled) is not is_users
