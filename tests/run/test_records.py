from pathlib import Path

import pytest

from sbn_lightning.run.grid_records import Grid
from sbn_lightning.run.records import BrokenRecordError, Results, read_record

PLANNED = '{"folder": "FOLDER", "dataset": "", "backbone": "", "head": "", "label": "", "settings": {}, "seed": 0}'
TEST = '{"checkpoint": "last.ckpt", "stage": "test", "images": 10, "correct": 9, "metrics": {}}'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", '{"version": 2}', "version"),  # a later layout is not read as if it were this one
        ("results.json", "[]", "Expected `object`"),
        ("results.json", "{", "cannot be read|invalid content"),
        ("results.json", '{"fit": {"seconds": "long"}}', r"\$\.fit"),
        ("grid.json", '{"version": 2, "runs": []}', "version"),
        (
            "grid.json",
            '{"runs": [' + PLANNED.replace("FOLDER", "../elsewhere") + "]}",
            r"grid's folder - at `\$.runs\[0\]",
        ),
        ("grid.json", '{"runs": [' + PLANNED.replace("FOLDER", "x" * 5000) + "]}", "does not lie in the grid's folder"),
        (
            "results.json",
            '{"version": 1, "evaluations": {"test": ' + TEST.replace("9", "11") + "}}",
            "11 of 10 images cannot be",
        ),
        (
            "results.json",
            '{"version": 1, "evaluations": {"test": ' + TEST.replace("10", "0").replace("9", "0") + "}}",
            "0 of 0 images",
        ),
    ],
)
def test_damaged_record_names_the_file_and_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BrokenRecordError, match=f"{name} .*({message})"):
        read_record(tmp_path / name, Grid if name == "grid.json" else Results)
