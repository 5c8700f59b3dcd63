import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from sbn_lightning.checkpointing.checkpoint_file import AtomicCheckpointIO, read_checkpoint
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


def save(file: Path, *counts: int) -> None:
    """Save checkpoints with a weight of so many numbers, one after the other."""
    for count in counts:
        AtomicCheckpointIO().save_checkpoint({"state_dict": {"numbers": torch.arange(count)}}, file)


def numbers(file: Path) -> int:
    return len(read_checkpoint(file)["state_dict"]["numbers"])


def test_last_is_replaced_and_the_one_before_kept(tmp_path: Path) -> None:
    save(tmp_path / "last.ckpt", 1, 2, 3)
    assert {path.name: numbers(path) for path in tmp_path.iterdir()} == {"last.ckpt": 3, "previous.ckpt": 2}


def test_write_that_fails_halfway_leaves_both_as_they_were(tmp_path: Path) -> None:
    save(tmp_path / "last.ckpt", 1, 2)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    problem = r"last\.ckpt cannot be written .*; the one before is still there"
    with pytest.raises(UsageError, match=problem), files_of_10_kb():
        save(tmp_path / "last.ckpt", 100_000)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_name_is_given_only_when_the_file_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "last.ckpt", 1)
    calls = []
    sync, link, replace = os.fsync, os.link, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("sync") or sync(handle))
    monkeypatch.setattr(os, "link", lambda *names: calls.append("link") or link(*names))
    monkeypatch.setattr(os, "replace", lambda *names: calls.append(f"rename to {names[1].name}") or replace(*names))
    save(tmp_path / "last.ckpt", 2)
    # The file; the name of the one before, and the folder; its own name, and the folder.
    assert calls == ["sync", "link", "rename to previous.ckpt", "sync", "rename to last.ckpt", "sync"]


def test_other_checkpoints_have_none_before(tmp_path: Path) -> None:
    save(tmp_path / "mine.ckpt", 1, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.ckpt"]


def test_without_hard_links_the_one_before_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*names: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", no_links)
    save(tmp_path / "last.ckpt", 1, 2)
    assert numbers(tmp_path / "previous.ckpt") == 1
