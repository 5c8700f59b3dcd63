from pathlib import Path

import pytest

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import whole_file


def test_file_that_cannot_be_written_to_its_end_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "results.json"
    with whole_file(file, "w") as stream:
        stream.write("old")

    def fail() -> None:
        with whole_file(file, "w") as stream:
            stream.write("new")
            raise OSError("No space left")

    with pytest.raises(UsageError, match=r"results.json cannot be written \(No space left\)"):
        fail()
    assert file.read_text() == "old"
    assert [path.name for path in file.parent.iterdir()] == ["results.json"]
