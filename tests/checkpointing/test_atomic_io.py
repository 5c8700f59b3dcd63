import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from sbn_lightning.checkpointing.atomic_io import AtomicCheckpointIO
from sbn_lightning.errors import UsageError


@contextmanager
def files_of_10_kb() -> Iterator[None]:
    """As on a disk with 10 kB left: writing more into a file fails, into that of a redirected pytest too."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def numbers(count: int) -> dict[str, torch.Tensor]:
    return {"numbers": torch.arange(count)}


def test_last_is_replaced_and_the_one_before_kept(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        AtomicCheckpointIO().save_checkpoint(numbers(count), tmp_path / "last.ckpt")
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "previous.ckpt"}
    for name, count in (("last", 3), ("previous", 2)):
        assert len(AtomicCheckpointIO().load_checkpoint(tmp_path / f"{name}.ckpt")["numbers"]) == count


def test_write_that_fails_halfway_leaves_both_as_they_were(tmp_path: Path) -> None:
    for count in (1, 2):
        AtomicCheckpointIO().save_checkpoint(numbers(count), tmp_path / "last.ckpt")
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    problem = r"last\.ckpt cannot be written .*; the one before is still there"
    with pytest.raises(UsageError, match=problem), files_of_10_kb():
        AtomicCheckpointIO().save_checkpoint(numbers(100_000), tmp_path / "last.ckpt")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_name_is_given_only_when_the_file_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("sync") or sync(handle))
    monkeypatch.setattr(os, "replace", lambda *names: calls.append("rename") or replace(*names))
    AtomicCheckpointIO().save_checkpoint(numbers(1), tmp_path / "last.ckpt")
    assert calls == ["sync", "rename", "sync"]  # the file, its name, the folder


def test_other_checkpoints_have_none_before(tmp_path: Path) -> None:
    for count in (1, 2):
        AtomicCheckpointIO().save_checkpoint(numbers(count), tmp_path / "mine.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.ckpt"]


def test_without_hard_links_the_one_before_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*names: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", no_links)
    for count in (1, 2):
        AtomicCheckpointIO().save_checkpoint(numbers(count), tmp_path / "last.ckpt")
    assert len(AtomicCheckpointIO().load_checkpoint(tmp_path / "previous.ckpt")["numbers"]) == 1


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"state_dict": Code()}, tmp_path / "foreign.ckpt")
    with pytest.raises(Exception, match="Weights only load failed"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "foreign.ckpt", weights_only=False)
    assert not (tmp_path / "harm").exists()
