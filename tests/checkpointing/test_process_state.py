import random

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torchmetrics import CatMetric, MeanMetric, Metric

from sbn_lightning.checkpointing.process_state import ProcessState, load_random_state, random_state

CPU = torch.device("cpu")


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.mean: Metric = MeanMetric()
        self.values: Metric = CatMetric()
        self.unused: Metric = MeanMetric()


def measured(*values: float) -> Module:
    module = Module()
    for value in values:
        module.mean.update(value)
        module.values.update(value)
    return module


def test_random_numbers_continue_where_the_state_was_taken() -> None:
    def draws() -> list[float]:
        np.random.standard_normal()  # one of a pair: the other is part of the state
        return [torch.rand(1).item(), np.random.standard_normal(), random.random(), random.gauss(0, 1)]

    draws()
    state = random_state(CPU)
    expected = draws()
    draws()
    load_random_state(state, CPU)
    assert draws() == expected


def test_metrics_continue_where_the_state_was_taken() -> None:
    state = ProcessState.of(measured(1, 2)).on_cpu()
    assert set(state.metrics) == {"mean", "values"}
    module = Module()
    state.restore(module)
    module.mean.update(6)
    module.values.update(6)
    assert module.mean.compute() == 3
    assert module.values.compute().tolist() == [1, 2, 6]
    assert (module.mean.update_count, module.unused.update_count) == (3, 0)


def test_state_does_not_follow_the_metrics() -> None:
    module = measured(1)
    state = ProcessState.of(module).on_cpu()
    module.values.update(5)
    module.mean.update(5)
    (values,) = (value for value in state.metrics["values"]["values"].values())
    assert len(values) == 1
    assert float(state.metrics["mean"]["values"]["mean_value"]) == pytest.approx(1)
