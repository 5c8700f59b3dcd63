"""How texts are laid out on terminals of any width."""

import io

import pytest

from sbn_lightning.terminal import NAME_WIDTH, show, two_columns

ROWS = (
    ("Data", "Digits: 1,437 train, 360 test images of 3×8×8, 10 classes, " * 4),
    ("", "a text that continues the row above"),
    ("Writes", "runs/a_folder_with_a_name_that_is_longer_than_the_narrowest_terminal/: config.yaml, last.ckpt"),
)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_are_broken_at_words_and_indented(width: int) -> None:
    lines = two_columns(*ROWS, width=width).splitlines()
    assert [line for line in lines if len(line) > width and " " in line[NAME_WIDTH:].strip()] == []
    assert [line[:NAME_WIDTH].strip() for line in lines if line[0] != " "] == ["Data", "Writes"]
    assert " ".join(" ".join(lines).split()) == " ".join(" ".join(f"{name} {text}" for name, text in ROWS).split())


def test_names_are_in_color_only_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(**environment: str) -> str:
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        show(("Data", "1,437 images"), file=(stream := io.StringIO()))
        return stream.getvalue()

    assert shown() == "Data        1,437 images\n"
    assert "\x1b[1mData\x1b[0m        1,437 images" in shown(FORCE_COLOR="1", TERM="xterm")
    assert shown(FORCE_COLOR="1", NO_COLOR="1", TERM="xterm").count("\x1b[3") == 0
