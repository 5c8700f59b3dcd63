"""How `sbn report` is called: mistakes, help, and what it does without."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbn_lightning.errors import UsageError
from sbn_lightning.report.command import report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name the folder that contains the runs, as in: sbn report runs; see sbn report --help"),
        ({"folder": Path("no")}, "no is not a folder; give `sbn report` a folder that contains runs"),
        ({"folder": Path()}, "there are no runs below .; make some with sbn reproduce --table digits, or sbn fit"),
        ({"folder": Path(), "out": Path("file")}, "--out file is a file; name a folder"),
        ({"compare": (Path(), Path())}, ". contains no finished run that could be compared (there is no run)"),
    ],
)
def test_mistake_is_answered(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(UsageError) as error:
        report(**options)
    assert message in str(error.value)


def test_folders_of_different_heads_are_not_compared_as_one(runs: Path) -> None:
    kinds = r"differ in more than their seed \(MadeUp, ResNet18, softmax; MadeUp, ResNet18, SBN, scale 0\.9\)"
    with pytest.raises(UsageError, match=kinds):
        report(compare=(runs, runs / "sbn0"))


def test_command_line_takes_folders_in_any_place(
    sbn: Callable[..., None], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sbn("report", "--out", "out", runs, "--compare", runs / "softmax0", runs / "sbn0")
    assert capsys.readouterr().out == (
        "Written     out/: report.html, report.md, report.tex, figures/, report.csv, runs.csv\n"
        f"Open        {(Path('out') / 'report.html').resolve().as_uri()}\n"
        "Written     out/: compare.html, compare.md, compare.tex, figures/\n"
        f"Open        {(Path('out') / 'compare.html').resolve().as_uri()}\n"
    )
    with pytest.raises(SystemExit) as end:
        sbn("report", runs, "--outt", "x")
    assert end.value.code == 2
    assert "--outt" in capsys.readouterr().err


def test_report_imports_neither_torch_nor_lightning(runs: Path) -> None:
    program = (
        "import sys; from sbn_lightning.cli.commands import main; main(['report', sys.argv[1]]); "
        "print(sorted({'torch', 'lightning', 'scipy.stats', 'pandas', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program, str(runs)], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
