"""Pieces of work are done by several processes, few of them at a time, in order."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from sbn_lightning.data.pool import AHEAD, by_all_cores


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)


def square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def test_results_come_in_the_order_of_the_pieces_from_two_processes() -> None:
    results = list(by_all_cores(square, range(50), 50))
    assert [result for result, _ in results] == [number**2 for number in range(50)]
    processes = {process for _, process in results}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    assert multiprocessing.active_children() == []


def test_pieces_are_taken_only_when_few_are_in_flight() -> None:
    taken = []

    def pieces() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with closing(by_all_cores(square, pieces(), 1000)) as results:
        for number, _ in enumerate(results, 1):
            assert len(taken) <= number + 2 * AHEAD
            if number == 20:
                break
    assert multiprocessing.active_children() == []


def test_one_piece_is_done_in_this_process() -> None:
    assert list(by_all_cores(square, [3], 1)) == [(9, os.getpid())]
