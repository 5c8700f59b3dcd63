"""A short version of `python -m tests.soak.foreign_files`: changed records and checkpoints are taken, or refused in one
line."""

from collections.abc import Iterator

import pytest

from tests.soak.foreign_files import Inputs

RECORDS, CHECKPOINTS = 42, 20


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inputs]:
    return Inputs(tmp_path_factory.mktemp("foreign"))


def test_changed_records_are_taken_or_refused_in_one_line(inputs: Inputs) -> None:
    assert [wrong for _, wrong in inputs.changed_records(RECORDS) if wrong] == []


def test_changed_checkpoints_are_taken_or_refused_in_one_line(inputs: Inputs) -> None:
    assert [wrong for _, wrong in inputs.changed_checkpoints(CHECKPOINTS) if wrong] == []
