import random

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torchmetrics import CatMetric, MeanMetric, Metric

from sbn_lightning.checkpointing.process_state import load_random_state, process_state, random_state, restore_process

CPU = torch.device("cpu")


class Module(LightningModule):
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.mean: Metric = MeanMetric()
        self.values: Metric = CatMetric()
        self.unused: Metric = MeanMetric()
        for value in values:
            self.mean.update(value)
            self.values.update(value)


@pytest.fixture
def trainer() -> Trainer:
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)


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


def test_metrics_continue_where_the_state_was_taken(trainer: Trainer) -> None:
    state = process_state(Module(1, 2))
    assert set(state["metrics"]) == {"mean", "values"}
    module = Module()
    restore_process([state], trainer, module)
    module.mean.update(6)
    module.values.update(6)
    assert module.mean.compute() == 3
    assert module.values.compute().tolist() == [1, 2, 6]
    assert (module.mean.update_count, module.unused.update_count) == (3, 0)


def test_on_another_number_of_processes_the_metrics_start_again_and_it_is_said(trainer: Trainer) -> None:
    module = Module()
    with pytest.warns(UserWarning, match="is of 2 processes, and training continues on 1: .* remaining steps only"):
        restore_process([process_state(Module(1)), process_state(Module(2))], trainer, module)
    assert module.mean.update_count == 0
