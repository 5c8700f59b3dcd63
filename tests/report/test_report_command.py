"""How `sbn report` is called: mistakes, help, and what it does without."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Sbn = Callable[..., None]


MISTAKES: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "sbn report needs the folder that contains the runs: sbn report DIR"),
    "no such folder": (["nowhere"], "nowhere is not a folder; give `sbn report` a folder that contains runs"),
    "empty folder": (["."], r"there are no runs below .; make some with sbn reproduce --table digits"),
    "unknown option": ([".", "--outt", "x"], "unrecognized arguments: --outt x; see sbn report --help"),
    "one run to compare": (["--compare", "a"], "expected 2 arguments"),
    "nothing to compare": (["--compare", ".", "."], "contains no finished run that could be compared (there is no run)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_answered_in_one_line(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, expected = MISTAKES[mistake]
    with pytest.raises(SystemExit) as end:
        sbn("report", *arguments)
    assert end.value.code == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


def test_folders_of_different_heads_are_not_compared_as_one(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sbn("report", "--compare", runs, runs / "sbn0")
    assert (
        "differ in more than their seed (MadeUp, ResNet18, softmax; MadeUp, ResNet18, SBN, scale 0.9)"
        in capsys.readouterr().err
    )


def test_help_names_what_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        sbn("report", "--help")
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: sbn report [DIR] [--out DIR] [--compare RUN_A RUN_B]\n")


def test_report_imports_neither_torch_nor_lightning(runs: Path) -> None:
    program = (
        "import sys; from sbn_lightning.cli.commands import main; main(['report', sys.argv[1]]); "
        "print(sorted({'torch', 'lightning', 'scipy.stats', 'pandas', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program, str(runs)], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
