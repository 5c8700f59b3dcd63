"""Packed images on the device that trains: the same batches, taken out there."""

from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from opened_data import Recorder, quiet_trainer
from torch import Tensor

from sbn_lightning.data import Digits, base
from sbn_lightning.data.loader import BatchLoader, EvaluationLoader
from sbn_lightning.errors import UsageError


def batches(root: Path, accelerator: str, on_device: bool, **settings: Any) -> list[tuple[str, Tensor, Tensor]]:
    """Two epochs of training with their validation, then a test."""
    recorder = Recorder()
    trainer = quiet_trainer(accelerator=accelerator)
    data = Digits(root=str(root), batch_size=200, on_device=on_device, horizontal_flip=True, **settings)
    trainer.fit(recorder, datamodule=data)
    trainer.test(recorder, datamodule=data, verbose=False)
    return recorder.batches


def assert_same(first: list[tuple[str, Tensor, Tensor]], second: list[tuple[str, Tensor, Tensor]]) -> None:
    for (stage, *batch), (other_stage, *other) in zip(first, second, strict=True):
        assert stage == other_stage
        assert all(torch.equal(*pair) for pair in zip(batch, other, strict=True))


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_batches_are_bit_for_bit_the_same_and_images_are_moved_once(
    fraction: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[int] = []
    keep: Callable[..., Any] = base.to_device
    monkeypatch.setattr(base, "to_device", lambda *args: moved.append(len(args[0])) or keep(*args))
    plain, on_device = (batches(tmp_path, "cpu", where, validation_fraction=fraction) for where in (False, True))
    assert {stage for stage, *_ in plain} == {"train", "val", "test"}
    assert_same(plain, on_device)
    assert moved == [1797, 1797]  # for training and validation, and again for the test


def joined(batches: list[tuple[str, Tensor, Tensor]]) -> list[tuple[str, Tensor, Tensor]]:
    """The batches with those of one stage that follow each other put together: what was seen, whatever their size."""
    stages = [(stage, list(following)) for stage, following in groupby(batches, key=itemgetter(0))]
    return [
        (stage, torch.cat([images for _, images, _ in following]), torch.cat([labels for _, _, labels in following]))
        for stage, following in stages
    ]


def test_images_are_the_same_in_evaluation_batches_of_any_size(tmp_path: Path) -> None:
    plain, larger = (batches(tmp_path, "cpu", True, evaluation_batch_size=size) for size in (None, 360))
    assert [stage for stage, *_ in larger].count("test") == 1 < [stage for stage, *_ in plain].count("test")
    assert_same(joined(larger), joined(plain))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_images_of_a_gpu_are_those_of_the_cpu(tmp_path: Path) -> None:
    on_cpu = joined(batches(tmp_path, "cpu", False))
    for on_device in (False, True):
        assert_same(joined(batches(tmp_path, "gpu", on_device)), on_cpu)  # evaluated in larger batches


class Elsewhere(Tensor):
    """Stands for a tensor on a device: says what is moved there, and is indexed by what lies there too only."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.index_select:
            assert isinstance(args[2], Elsewhere), "indices come from the CPU"
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.parametrize("loader_class", [BatchLoader, EvaluationLoader])
def test_indices_are_sent_once_an_epoch(
    loader_class: type[BatchLoader] | type[EvaluationLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, ...]] = []

    def to(tensor: Tensor, device: torch.device) -> Tensor:
        sent.append(tuple(tensor.shape))
        return tensor.as_subclass(Elsewhere)

    images, labels = torch.arange(50).byte().view(50, 1, 1, 1), torch.arange(50)
    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "to", to)
        loader = loader_class(images.as_subclass(Elsewhere), labels.as_subclass(Elsewhere), torch.arange(50), 10)
        seen = torch.cat([batch.labels for batch in loader])
    assert sorted(seen.tolist()) == list(range(50))
    assert sent == [(50,)]


def test_too_small_a_device_is_refused_with_the_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = torch.zeros(1000, 3, 32, 32, dtype=torch.uint8), torch.zeros(1000, dtype=torch.int64)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3_000_000, 16_000_000_000))
    # 1,000 · (3 · 32 · 32 + 8) bytes are needed.
    with pytest.raises(UsageError, match=r"take 3\.1 MB, but cuda has 3\.0 MB free of 16,000\.0 MB; .*on_device false"):
        base.to_device(images, labels, torch.device("cuda"))
