"""What the README shows is what the records in the repository say."""

import re
from pathlib import Path

import pytest

from tests import readme


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return readme.sections()


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.stem)
def test_numbers_are_those_of_the_records(page: Path, made: dict[str, str]) -> None:
    text = page.read_text(encoding="utf-8")
    assert readme.with_records(text, made) == text, "run make readme"


def test_what_is_made_of_the_records_stands_on_a_page(made: dict[str, str]) -> None:
    texts = "".join(page.read_text(encoding="utf-8") for page in readme.PAGES)
    assert set(re.findall(r"<!-- records: (\w+) -->", texts)) == set(made)


def test_pictures_are_those_of_the_records(tmp_path: Path) -> None:
    readme.make_figures(tmp_path)
    stored = readme.RECORDS / "figures"
    if (stored / "drawn_by.txt").read_text() != (tmp_path / "drawn_by.txt").read_text():
        pytest.skip("another version of matplotlib draws the same a little differently")
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in stored.iterdir()}
    for drawn in tmp_path.glob("*.svg"):
        assert drawn.read_text() == (stored / drawn.name).read_text(), "run make readme"


@pytest.mark.parametrize("page", [*readme.PAGES, readme.ROOT / "configs/README.md"], ids=lambda page: page.parent.name)
def test_every_file_and_heading_that_a_page_links_to_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = re.findall(r'(?:src="|srcset="|\]\()(?!https?:)([^")]+)', text)
    assert [name for name in linked if not name.startswith("#")]
    for name in linked:
        place, _, heading = name.partition("#")
        file = page.parent / place if place else page
        assert file.exists(), name
        assert not heading or heading in headings_of(file), name


def headings_of(page: Path) -> list[str]:
    titles = re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.stem)
def test_every_picture_has_one_for_dark_backgrounds(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r'<img src="(.*?)\.svg"', text)
    assert pictures
    assert [name for name in pictures if f'(prefers-color-scheme: dark)" srcset="{name}_dark.svg"' not in text] == []


def test_readme_links_every_page_of_records() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert [page.name for page in readme.RECORDS.glob("*.md") if f"(tests/records/{page.name})" not in text] == []


def test_records_name_no_place_on_the_machine_that_made_them() -> None:
    texts = (file.read_text() for suffix in ("json", "yaml", "md") for file in readme.RECORDS.rglob(f"*.{suffix}"))
    assert [found for text in texts for found in re.findall(r'["\s](/(?:home|tmp|work|root|mnt)/\S*)', text)] == []
