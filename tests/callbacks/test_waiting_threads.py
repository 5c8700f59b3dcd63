"""A training on a CPU whose cores other processes use is told so, and computes what it would without the hint."""

from collections.abc import Iterator

import pytest
import torch

from sbn_lightning.callbacks import waiting_threads
from sbn_lightning.callbacks.waiting_threads import threads_that_wait, time_of_threads

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("two_threads")
def test_only_threads_that_wait_on_a_cpu_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_threads, "time_of_threads", lambda: 36.4)
    (text,) = threads_that_wait(CPU)
    assert "takes 36 times as long on 2 threads as on one" in text
    assert "OMP_NUM_THREADS=1" in text
    assert list(threads_that_wait(torch.device("cuda"))) == []
    monkeypatch.setattr(waiting_threads, "time_of_threads", lambda: 1.3)
    assert list(threads_that_wait(CPU)) == []


def test_single_thread_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_threads, "time_of_threads", lambda: 36.4)
    assert list(threads_that_wait(CPU)) == []


def test_measuring_changes_neither_random_numbers_nor_the_number_of_threads() -> None:
    before = torch.get_rng_state()
    assert time_of_threads() < 4  # on one thread both are the same work
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 1
