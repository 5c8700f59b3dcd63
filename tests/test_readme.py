"""What the README shows is what the records in the repository say."""

import re
from pathlib import Path

import pytest

from tests import readme


def test_tables_are_those_of_the_records() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert readme.with_records(text) == text, "run make readme"
    assert set(re.findall(r"<!-- records: (\w+) -->", text)) == set(readme.sections())


def test_pictures_are_those_of_the_records(tmp_path: Path) -> None:
    readme.make_figures(tmp_path)
    stored = readme.RECORDS / "figures"
    if (stored / "drawn_by.txt").read_text() != (tmp_path / "drawn_by.txt").read_text():
        pytest.skip("another version of matplotlib draws the same a little differently")
    for name in readme.FIGURES:
        assert (tmp_path / name).read_text() == (stored / name).read_text(), "run make readme"


def test_every_file_that_the_readme_names_is_there() -> None:
    text = readme.README.read_text(encoding="utf-8")
    linked = re.findall(r'(?:src="|\]\()(?!https?:|#)([^")]+)', text)
    assert linked
    assert [name for name in linked if not (readme.ROOT / name).exists()] == []


def test_records_name_no_place_on_the_machine_that_made_them() -> None:
    texts = (file.read_text() for suffix in ("json", "yaml", "md") for file in readme.RECORDS.rglob(f"*.{suffix}"))
    assert [found for text in texts for found in re.findall(r'["\s](/(?:home|tmp|work|root|mnt)/\S*)', text)] == []
