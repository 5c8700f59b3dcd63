from pathlib import Path

import pytest

from sbn_lightning.run.records import BrokenRecordError, Grid, Results, read_record


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", '{"version": 2}', "version"),  # a later layout is not read as if it were this one
        ("results.json", "[]", "Expected `object`"),
        ("results.json", "{", "cannot be read|invalid content"),
        ("results.json", '{"fit": {"seconds": "long"}}', r"\$\.fit"),
        ("grid.json", '{"version": 2, "runs": []}', "version"),
    ],
)
def test_damaged_record_names_the_file_and_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BrokenRecordError, match=f"{name} .*({message})"):
        read_record(tmp_path / name, Grid if name == "grid.json" else Results)
