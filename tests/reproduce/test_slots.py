"""How many runs train at a time, and on what."""

import os
from pathlib import Path

import pytest

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.runner import slots, visible_gpus


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(("jobs", "threads"), [(None, "2"), (1, "2"), (2, "1"), (3, "1")])
def test_cores_are_shared_by_the_runs(jobs: int | None, threads: str, two_cores: None) -> None:
    assert slots(jobs)[0] == [{"OMP_NUM_THREADS": threads}] * (jobs or 1)


def test_threads_that_the_user_sets_stay(two_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert slots(2) == ([{"OMP_NUM_THREADS": "7"}] * 2, "2 at a time on the CPU, 7 threads each")


def test_more_runs_than_the_cores_bear_are_refused(two_cores: None) -> None:
    message = r"--jobs 8 is too many: .* 2 CPU cores; use --jobs 4 or fewer, or --cluster slurm"
    with pytest.raises(UsageError, match=message):
        slots(8)


@pytest.mark.parametrize(
    ("visible", "jobs", "devices", "expected", "where"),
    [
        ("0,1", None, 1, ["0", "1"], "0 and 1"),
        ("3,5", 5, None, ["3", "5", "3", "5", "3"], "3 and 5"),
        ("0,1,2,3", None, 2, ["0,1", "2,3"], "0,1 and 2,3"),
        ("0,1,2", None, -1, ["0,1,2"], "0,1,2"),
        ("GPU-a, GPU-b", 1, "auto", ["GPU-a"], "GPU-a"),
    ],
)
def test_runs_are_spread_over_the_visible_gpus(
    visible: str, jobs: int | None, devices: object, expected: list[str], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environments = [{"CUDA_VISIBLE_DEVICES": gpus} for gpus in expected]
    assert slots(jobs, devices=devices) == (environments, f"{len(expected)} at a time on GPU {where}")


def test_runs_need_gpus_that_are_there_unless_they_train_on_the_cpu(
    two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(UsageError, match=r"trainer\.devices is 4, but this machine shows 2 GPUs"):
        slots(1, devices=4)
    assert slots(None, accelerator="cpu")[0] == [{"OMP_NUM_THREADS": "2"}]


@pytest.mark.parametrize(
    ("script", "gpus"),
    [("echo 'GPU 0: A (UUID: x)'; echo '  MIG 1g'; echo 'GPU 1: B'", ["0", "1"]), ("exit 9", []), (None, [])],
)
def test_gpus_are_those_that_nvidia_smi_lists_if_there_is_one(
    script: str | None, gpus: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    assert visible_gpus() == gpus
