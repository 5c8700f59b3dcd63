"""How many images an evaluation takes at a time."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from opened_data import Recorder, quiet_trainer, ready

from sbn_lightning.data import Digits
from sbn_lightning.errors import UsageError


def sizes(data: Digits, device: str, **limits: float) -> dict[str, int]:
    """The batch sizes for each stage, as a trainer on a device asks for them."""
    all_limits = {f"limit_{stage}_batches": 1.0 for stage in ("val", "test", "predict")} | limits
    strategy = SimpleNamespace(root_device=torch.device(device))
    data.trainer = SimpleNamespace(
        global_rank=0, world_size=1, strategy=strategy, state=SimpleNamespace(fn="fit"), **all_limits
    )
    loaders = {"val": data.val_dataloader(), "test": data.test_dataloader(), "predict": data.predict_dataloader()}
    return {stage: loader.batch_size for stage, loader in loaders.items()}


def test_a_size_of_its_own_holds_for_every_evaluation_and_not_for_training(digits_root: Path) -> None:
    recorder, trainer = Recorder(), quiet_trainer(max_epochs=1, limit_test_batches=2)
    data = Digits(root=str(digits_root), batch_size=500, evaluation_batch_size=150)
    trainer.fit(recorder, datamodule=data)
    trainer.test(recorder, datamodule=data, verbose=False)
    seen: dict[str, list[int]] = {}
    for stage, images, _ in recorder.batches:
        seen.setdefault(stage, []).append(len(images))
    assert seen == {"train": [500, 500, 437], "val": [150, 150, 60], "test": [150, 150]}


def test_chosen_batches_are_larger_on_a_gpu_unless_a_limit_counts_them(digits_root: Path) -> None:
    data = ready(Digits(root=str(digits_root), batch_size=64))
    assert sizes(data, "cpu") == {"val": 64, "test": 64, "predict": 64}
    all_at_once = sizes(data, "cuda")
    assert min(all_at_once.values()) >= data.num_images["test"] == 360
    limited: dict[str, Any] = {"limit_val_batches": 1, "limit_test_batches": 0.5}
    assert sizes(data, "cuda", **limited) == {"val": 64, "test": 64, "predict": all_at_once["predict"]}


def test_size_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="evaluation_batch_size is 0; a batch holds 1 image or more"):
        Digits(evaluation_batch_size=0)
