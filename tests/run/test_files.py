from pathlib import Path

import pytest

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import replace_by_link, whole_file


def write(file: Path, text: str, error: Exception | None = None) -> None:
    with whole_file(file) as stream:
        stream.write(text)
        if error:
            raise error


def test_file_that_cannot_be_written_to_its_end_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "results.json"
    write(file, "old")
    with pytest.raises(UsageError, match=r"results.json cannot be written \(No space left\)"):
        write(file, "new", OSError("No space left"))
    assert file.read_text() == "old"
    assert [path.name for path in file.parent.iterdir()] == ["results.json"]


def test_linked_file_is_the_same_file_and_leaves_no_second_name(tmp_path: Path) -> None:
    last, best = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    write(last, "weights")
    for _ in range(2):  # the second time it is the same file already
        replace_by_link(last, best)
        assert best.samefile(last)
        assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "best.ckpt"}
