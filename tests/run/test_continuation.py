from pathlib import Path

import pytest

from sbn_lightning.errors import DivergenceError, UsageError
from sbn_lightning.run.continuation import unchanged_if_refused


def fail(run_dir: Path, error: type[Exception], has_started: bool) -> None:
    """Fail in a run's folder, after two files were written, one of them before the training."""
    (run_dir / "there").touch()
    with unchanged_if_refused(run_dir, lambda: has_started):
        (run_dir / "logs").mkdir()
        (run_dir / "logs/new").touch()
        raise error("a text")


@pytest.mark.parametrize(("error", "has_started"), [(UsageError, True), (ValueError, False), (DivergenceError, False)])
def test_training_that_has_started_or_failed_otherwise_keeps_its_files(
    error: type[Exception], has_started: bool, tmp_path: Path
) -> None:
    with pytest.raises(error):
        fail(tmp_path, error, has_started)
    assert (tmp_path / "logs/new").exists()


def test_refused_training_leaves_nothing_new(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        fail(tmp_path, UsageError, has_started=False)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
