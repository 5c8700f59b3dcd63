import threading
from pathlib import Path

import pytest

from sbn_lightning.errors import LockedError
from sbn_lightning.run.lock import is_locked, run_lock


def test_lock_is_seen_while_it_is_held_and_refused_to_others(tmp_path: Path) -> None:
    with run_lock(tmp_path / "run"):
        (tmp_path / "run/results.json").touch()
        assert is_locked(tmp_path / "run")
        with pytest.raises(LockedError, match=r"another process is training or testing in .*run; wait"):
            run_lock(tmp_path / "run").__enter__()
    assert not is_locked(tmp_path / "run")


def test_processes_that_only_look_do_not_see_each_other(tmp_path: Path) -> None:
    (tmp_path / "run.lock").touch()
    seen = []
    looking = [threading.Thread(target=lambda: seen.extend(is_locked(tmp_path) for _ in range(200))) for _ in range(3)]
    for thread in looking:
        thread.start()
    for thread in looking:
        thread.join()
    assert seen == [False] * 600


def test_folder_that_was_missing_goes_again_if_nothing_was_written_into_it(tmp_path: Path) -> None:
    with run_lock(tmp_path / "runs/a"):
        pass
    assert list(tmp_path.iterdir()) == []
