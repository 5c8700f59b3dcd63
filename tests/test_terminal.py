"""How texts are laid out on terminals of any width."""

import io
import os
import pty
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_lightning.terminal import NAME_WIDTH, duration, show, two_columns, unbroken

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


def test_command_that_is_to_be_copied_stays_in_one_line() -> None:
    command = f"sbn report --compare {' '.join(['runs/a_long_name_of_a_run'] * 3)}"
    lines = two_columns(("Next", f"say {unbroken(command)} now"), width=40).splitlines()
    assert lines == ["Next        say", f"            {command}", "            now"]


def test_name_without_a_text_stays() -> None:
    assert two_columns(("Data", ""), ("", ""), ("Next", "x")) == "Data\n\nNext        x"


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


def too_long(text: str, width: int) -> list[str]:
    """The lines that are longer than the terminal is wide, though they could have been broken between two words."""
    return [line for line in text.splitlines() if len(line) > width and len(line.split()) > 2]


@pytest.mark.parametrize("width", [80, 120])
def test_commands_print_no_line_that_is_wider_than_the_terminal(
    width: int, fit_digits: Callable[..., Path], sbn: Callable[..., None], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", str(width))
    fit_digits("--trainer.max_epochs", 1, "--data.packed_dir", "packed")
    sbn("test", "--config", "run", "--trainer.enable_progress_bar", "false")
    sbn("predict", "--config", "run")
    text = capsys.readouterr().out
    names = [line[:NAME_WIDTH].strip() for line in text.splitlines() if line and line[0] != " "]
    assert {"Packing", "Data", "Warning", "Trained", "Next", "Result", "Written"} <= set(names)
    assert too_long(text, width) == []
    assert max(map(len, text.splitlines())) > width - 20


def test_errors_are_wrapped_and_in_color_on_a_terminal_and_one_line_elsewhere() -> None:
    command = [sys.executable, "-m", "sbn_lightning", "prepar", "--config", "digits_sbn"]
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm", "NO_COLOR": ""}
    piped = subprocess.run(command, env=environment, capture_output=True, text=True).stderr
    assert piped.startswith("sbn: there is no command 'prepar', did you mean 'prepare'?")
    assert piped.count("\n") == 1
    assert len(piped) > 80

    terminal, stderr = pty.openpty()
    subprocess.run(command, env=environment, stderr=stderr)
    os.close(stderr)
    first, *others = os.read(terminal, 10_000).decode().replace("\r\n", "\n").splitlines()
    assert first.startswith("\x1b[1;31msbn:\x1b[0m there is no command")
    assert all(line.startswith("     ") and len(line) <= 80 for line in others)
    assert " ".join([first.split(" ", 1)[1], *(line.strip() for line in others)]) == piped.split(" ", 1)[1].strip()


def test_warnings_of_libraries_are_rows_without_the_place_in_their_code(answer: Callable[..., str]) -> None:
    answer("fit", "--config", "digits_sbn", "--lr", "1")
    text = warnings.formatwarning(UserWarning("two\nlines"), UserWarning, "site-packages/module.py", 321)
    assert text == "Warning     two lines\n"


@pytest.mark.parametrize("command", ["report", "reproduce", "check-resume"])
def test_help_of_the_other_commands_fits_80_columns(
    command: str, sbn: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        sbn(command, "--help")
    assert too_long(capsys.readouterr().out, 80) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.312, "0.31 s"), (46.4, "46 s"), (99.4, "99 s"), (99.6, "1 min 40 s"), (240, "4 min"),
        (599.6, "10 min"), (720, "12 min"), (3599, "1 h 00 min"), (4020, "1 h 07 min"), (172_799, "2 days 0 h"),
        (276_480, "3 days 5 h"),
    ],
)  # fmt: skip
def test_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
