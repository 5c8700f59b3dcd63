import random

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torchmetrics import CatMetric, MeanMetric, Metric

from sbn_lightning.checkpointing.resume_state import ProcessState, ResumeState, load_random_state, random_state
from sbn_lightning.errors import UsageError

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
    state = ProcessState.of(measured(1, 2))
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
    state = ProcessState.of(module)
    module.values.update(5)
    module.mean.update(5)
    (values,) = (value for value in state.metrics["values"]["values"].values())
    assert len(values) == 1
    assert float(state.metrics["mean"]["values"]["mean_value"]) == pytest.approx(1)


def test_on_another_number_of_processes_the_metrics_start_again_and_it_is_said() -> None:
    state = ResumeState(processes=[ProcessState.of(measured(1)), ProcessState.of(measured(2))])
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    module = Module()
    with pytest.warns(UserWarning, match="is of 2 processes, and training continues on 1: .* remaining steps only"):
        state.restore(trainer, module)
    assert module.mean.update_count == 0


def test_it_is_read_as_it_was_written() -> None:
    state = ResumeState({"data.seed": 0}, {"train": 5}, ["norm.mean"], {"loss": torch.ones(())}, [])
    state.processes = [ProcessState.of(measured(1, 2))]
    checkpoint: dict[str, object] = {}
    state.write(checkpoint)
    assert set(checkpoint) == {"run", "callback_metrics", "processes"}
    assert ResumeState.read(checkpoint) == state
    assert ResumeState.read({}) == ResumeState()
    with pytest.raises(UsageError, match="the state of the run in the checkpoint cannot be read"):
        ResumeState.read(checkpoint | {"processes": [{"random": 1}]})
