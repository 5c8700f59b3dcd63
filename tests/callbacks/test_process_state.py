import random

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torchmetrics import CatMetric, MeanMetric, Metric

from sbn_lightning.checkpointing.process_state import (
    load_metrics,
    load_random_state,
    process_state,
    random_state,
    to_cpu,
)

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
    state = to_cpu(process_state(measured(1, 2)))
    assert set(state["metrics"]) == {"mean", "values"}
    module = Module()
    load_metrics(module, [state["metrics"]])
    module.mean.update(6)
    module.values.update(6)
    assert module.mean.compute() == 3
    assert module.values.compute().tolist() == [1, 2, 6]
    assert (module.mean.update_count, module.unused.update_count) == (3, 0)


def test_metrics_of_two_processes_continue_in_one_with_each_value_once() -> None:
    module = Module()
    load_metrics(module, [process_state(part)["metrics"] for part in (measured(1, 2), measured(6))])
    assert module.mean.compute() == 3
    assert sorted(module.values.compute().tolist()) == [1, 2, 6]


def test_state_does_not_follow_the_metrics() -> None:
    module = measured(1)
    state = to_cpu(process_state(module))
    module.values.update(5)
    module.mean.update(5)
    (values,) = (value for value in state["metrics"]["values"]["values"].values())
    assert len(values) == 1
    assert float(state["metrics"]["mean"]["values"]["mean_value"]) == pytest.approx(1)
