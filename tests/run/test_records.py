from pathlib import Path

import pytest

from sbn_lightning.run.records import BrokenRecordError, Grid, read_record, read_results


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 2}', "version"),  # a later layout is not read as if it were this one
        ("[]", "Expected `object`"),
        ("{", "results.json"),
        ('{"fit": {"seconds": "long"}}', r"\$\.fit"),
    ],
)
def test_damaged_results_name_the_file_and_the_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(BrokenRecordError, match=f"results.json.*{message}|{message}"):
        read_results(tmp_path)


def test_grid_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text('{"version": 2, "runs": []}')
    with pytest.raises(BrokenRecordError, match=r"grid.json .*version"):
        read_record(tmp_path / "grid.json", Grid)
