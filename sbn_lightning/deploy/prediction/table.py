"""A table that is written row by row: CSV for people and spreadsheets, or JSON lines for programs."""

import csv
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from sbn_lightning.errors import UsageError, counted, printable
from sbn_lightning.run.files import rename, to_disk

Cell = str | float | bool | None
SUFFIXES = (".csv", ".jsonl")
WRITTEN_EVERY = 0.5
"""Seconds between two writes: a disk takes many small ones slowly."""
FORMULAS = ("=", "+", "-", "@")
"""A spreadsheet runs a cell that starts with one of these."""


class Table:
    r"""Writes rows to a file that is in its place only when it is complete.

    Until then it is called NAME.unfinished.csv. If the table is not finished (an error, Ctrl-C, a killed process), that
    file remains, with whole rows only, and `ended` says how many; a file that was to be replaced is still there.

    - CSV: UTF-8, a header, a line for each row. Control characters and bytes in no encoding are escapes, as in `\n` and
      `\xff`. A text that starts with =, +, - or @ gets an apostrophe in front, since a spreadsheet would run it as a
      formula; a tab or a carriage return in front, which leads to the same, is an escape. Unknown cells are empty.
    - JSON lines: UTF-8, an object for each row, texts exactly as they are; a byte in no encoding is the lone surrogate
      with which Python's `os.fsencode` gives it back. Unknown values are null.

    Args:
        file: Its suffix, .csv or .jsonl, is its format. Its folder is made if it is missing.
        columns: Their names.

    Attributes:
        rows: Number of rows in the file.

    Raises:
        UsageError: If the file cannot be written.
    """

    def __init__(self, file: Path, columns: Sequence[str]) -> None:
        self.file, self.columns = file, columns
        self.unfinished = file.with_suffix(f".unfinished{file.suffix}")
        self.rows = 0
        self._size = 0  # bytes of the rows in the file
        self._written_at = 0.0
        self._next: list[str] = []  # lines that are not yet in the file
        self._next_rows = 0

    def __enter__(self) -> "Table":
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = open(self.unfinished, "wb", buffering=0)  # so that it is known which bytes are in the file
        except OSError as error:
            raise self._unwritable(error) from error
        if self.file.suffix == ".csv":
            self._next.append(csv_lines([dict(zip(self.columns, self.columns, strict=True))]))
        return self

    def write(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Append rows, of which each gives the value of every column. They are in the file a second later."""
        self._next.append(csv_lines(rows) if self.file.suffix == ".csv" else json_lines(rows))
        self._next_rows += len(rows)
        if time.monotonic() - self._written_at > WRITTEN_EVERY:
            self._flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        is_whole = False
        try:
            with self._stream as stream:
                self._flush()
                to_disk(stream)
            if error is None:
                rename(self.unfinished, self.file)
                is_whole = True
        except OSError as problem:
            raise self._unwritable(problem) from problem
        finally:
            if not is_whole and not self.rows:
                self.unfinished.unlink(missing_ok=True)
        return False

    def ended(self, count: int) -> str:
        """Say what remains of an unfinished table that should have had `count` rows."""
        if not self.rows:
            return "before the first row; nothing is written"
        return f"after {self.rows:,} of {counted(count, 'row')}, which are in {self.unfinished}"

    def _flush(self) -> None:
        """Write the rows that are not yet in the file, in place of a part of them that an interruption has left."""
        content = memoryview("".join(self._next).encode(errors="backslashreplace"))  # as JSON escapes a lone surrogate
        written = 0
        try:
            self._stream.seek(self._size)
            self._stream.truncate()
            while written < len(content):
                written += self._stream.write(content[written:])
        except OSError as error:
            self._stream.truncate(self._size)
            raise self._unwritable(error) from error
        self._size, self.rows = self._size + written, self.rows + self._next_rows
        self._next, self._next_rows, self._written_at = [], 0, time.monotonic()

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(
            f"{self.file} cannot be written ({error.strerror or error}); make room there, or name another place with "
            "--out FILE"
        )


def check_out(file: Path, overwrite: bool) -> None:
    """Refuse a file of another format, and one that is there and is not to be replaced."""
    if file.suffix not in SUFFIXES:
        raise UsageError(f"--out {file} must end in .csv, or in .jsonl for JSON lines")
    if file.is_dir():
        raise UsageError(f"--out {file} is a folder; name a file in it, such as {file / 'predictions.csv'}")
    if file.exists() and not overwrite:
        raise UsageError(f"{file} is there already; replace it with --overwrite, or name another with --out FILE")


def csv_lines(rows: Iterable[Mapping[str, Cell]]) -> str:
    """Return rows as lines of CSV; see Table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([csv_cell(cell) for cell in row.values()] for row in rows)
    return text.getvalue()


def csv_cell(cell: Cell) -> str:
    """Return a cell as it stands in a CSV file, before quoting."""
    if isinstance(cell, str):
        cell = printable(cell)
        return f"'{cell}" if cell.startswith(FORMULAS) else cell
    if isinstance(cell, bool):
        return str(cell).lower()
    return "" if cell is None else f"{cell:.6f}"


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as lines of JSON; see Table."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
