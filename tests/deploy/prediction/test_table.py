"""Tables that are written row by row: what a cell becomes, and what remains when the writing is interrupted."""

import csv
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from sbn_lightning.deploy.prediction.table import Table, check_out
from sbn_lightning.errors import UsageError

COLUMNS = ["path", "probability", "correct"]
NAMES = [
    "a b.png", 'quo"te\'s, and comma.png', "new\nline.png", "猫.png", "=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1",
    os.fsdecode(b"caf\xe9.png"), "line\u2028s.png",
]  # fmt: skip


def rows(*names: str) -> list[dict[str, Any]]:
    return [{"path": name, "probability": 0.5, "correct": True} for name in names]


def test_csv_has_one_line_for_each_row_and_no_formula(tmp_path: Path) -> None:
    with Table(tmp_path / "a.csv", COLUMNS) as table:
        table.write(rows(*NAMES))
        table.write([{"path": "last", "probability": None, "correct": None}])
    assert os.listdir(tmp_path) == ["a.csv"]
    text = (tmp_path / "a.csv").read_bytes().decode()
    assert len(text.splitlines()) == 1 + len(NAMES) + 1
    read = list(csv.DictReader(text.splitlines()))
    assert [row["path"] for row in read] == [
        "a b.png", 'quo"te\'s, and comma.png', r"new\nline.png", "猫.png", "'=1+1", "'+1", "'-1", "'@SUM(1)", r"\t=1",
        r"\r=1", r"caf\xe9.png", r"line\u2028s.png", "last",
    ]  # fmt: skip
    assert read[0] == {"path": "a b.png", "probability": "0.500000", "correct": "true"}
    assert read[-1] == {"path": "last", "probability": "", "correct": ""}


def test_json_lines_hold_names_exactly(tmp_path: Path) -> None:
    with Table(tmp_path / "a.jsonl", COLUMNS) as table:
        table.write(rows(*NAMES))
    read = [json.loads(line) for line in (tmp_path / "a.jsonl").read_bytes().decode().split("\n")[:-1]]
    assert read == rows(*NAMES)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(143), UsageError("it was killed")])
def test_interrupted_table_keeps_whole_rows_and_the_file_that_was_to_be_replaced(
    tmp_path: Path, interruption: BaseException
) -> None:
    def write(table: Table) -> None:
        with table:
            table.write(rows("1"))
            table.write(rows("2"))
            os.write(table._stream.fileno(), b"half a ro")  # as a signal in the middle of a write leaves it
            raise interruption

    file = tmp_path / "a.csv"
    file.write_text("older")
    table = Table(file, COLUMNS)
    with pytest.raises(type(interruption)):
        write(table)
    assert file.read_text() == "older"
    assert table.unfinished == tmp_path / "a.unfinished.csv"
    assert table.unfinished.read_text() == "path,probability,correct\n1,0.500000,true\n2,0.500000,true\n"
    assert table.ended(7) == f"after 2 of 7 rows, which are in {table.unfinished}"


def test_table_without_a_row_leaves_nothing(tmp_path: Path) -> None:
    table = Table(tmp_path / "new" / "a.csv", COLUMNS)
    with pytest.raises(KeyboardInterrupt), table:
        raise KeyboardInterrupt
    assert list(table.file.parent.iterdir()) == []
    assert table.ended(7) == "before the first row; nothing is written"


def test_full_disk_keeps_whole_rows(tmp_path: Path) -> None:
    class Full:
        """A stream whose disk is full after a part of a row."""

        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __enter__(self) -> Any:
            return self.stream.__enter__()

        def __exit__(self, *error: Any) -> None:
            self.stream.__exit__(*error)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

        def write(self, content: memoryview) -> int:
            if self.stream.tell() > 50:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.stream.write(content[:10])

    def write(table: Table) -> None:
        with table:
            table.write(rows("1"))
            table._stream = Full(table._stream)
            table.write(rows("2"))

    table = Table(tmp_path / "a.csv", COLUMNS)
    with pytest.raises(UsageError, match=r"a.csv cannot be written \(No space left on device\); make room"):
        write(table)
    assert table.unfinished.read_text() == "path,probability,correct\n1,0.500000,true\n"


def test_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/a.csv cannot be written \(.*\); .* --out FILE"):
        Table(tmp_path / "file" / "a.csv", COLUMNS).__enter__()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.txt", "must end in .csv, or in .jsonl"), ("there.csv", "--overwrite"), ("folder.csv", "is a folder")],
)
def test_file_of_another_kind_or_one_that_is_there_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "there.csv").write_text("")
    (tmp_path / "folder.csv").mkdir()
    check_out(tmp_path / "new.csv", overwrite=False)
    check_out(tmp_path / "there.csv", overwrite=True)
    with pytest.raises(UsageError, match=expected):
        check_out(tmp_path / name, overwrite=False)
