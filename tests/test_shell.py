"""Commands in texts are those that the shell finds in which the text is read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sbn_lightning import shell
from sbn_lightning.cli.commands import COMMANDS
from sbn_lightning.shell import typed

SCRIPTS = Path(sys.executable).parent
TEXT = "sbn test --config runs/sbn report; tensorboard --logdir runs; sbn writes checkpoints, as sbn fit; /x/sbn fit"


def test_every_command_is_found_in_a_text() -> None:
    assert {*COMMANDS, "--help"} == set(shell.SBN.split("|"))


@pytest.mark.parametrize(
    ("called", "path", "sbn", "tensorboard"),
    [
        ([str(SCRIPTS / "sbn")], str(SCRIPTS), "sbn", "tensorboard"),
        ([sys.executable, "-m", "sbn_lightning"], str(SCRIPTS), "sbn", "tensorboard"),
        ([str(SCRIPTS / "sbn")], "/usr/bin:/bin", str(SCRIPTS / "sbn"), str(SCRIPTS / "tensorboard")),
        (["bin/sbn"], "/usr/bin:/bin", "bin/sbn", "bin/tensorboard"),
        (
            [sys.executable, "-m", "sbn_lightning"], "/usr/bin:/bin",
            f"{sys.executable} -m sbn_lightning", f"{sys.executable} -m tensorboard.main",
        ),
    ],
)  # fmt: skip
def test_command_is_written_as_it_was_called_where_it_is_not_on_the_path(
    called: list[str], path: str, sbn: str, tensorboard: str, tmp_path: Path
) -> None:
    (tmp_path / "bin").symlink_to(SCRIPTS)
    if "-m" not in called:
        called = [called[0]]
    environment = os.environ | {"PATH": path, "COLUMNS": "500"}
    ran = subprocess.run([*called, "--help"], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert f"\n  {sbn} fit --config digits_sbn\n" in ran.stdout, ran.stderr
    assert (
        f"{sbn} report runs; see {sbn} report --help"
        in subprocess.run([*called, "report"], env=environment, cwd=tmp_path, capture_output=True, text=True).stderr
    )


def test_only_commands_change_in_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "program", lambda name: f"bin/{name}")
    expected = (
        "bin/sbn test --config runs/sbn report; bin/tensorboard --logdir runs; sbn writes checkpoints, as bin/sbn fit; "
        "/x/sbn fit"
    )
    assert typed(TEXT) == expected
