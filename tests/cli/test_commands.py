"""The command `sbn`: what it offers, and how it answers what it cannot carry out."""

import contextlib
import errno
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from sbn_lightning.cli import commands
from sbn_lightning.cli.configs import with_config_paths
from sbn_lightning.config_files import config_folder, find_config

Sbn = Callable[..., None]


@pytest.mark.parametrize("arguments", [["--help"], ["report", "--help"], ["reproduce", "--help"]])
def test_help_does_not_import_torch(arguments: list[str]) -> None:
    program = f"""
import sys, contextlib
from sbn_lightning.cli.commands import main
with contextlib.suppress(SystemExit):
    main({arguments})
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("name", ["report/report.html", None])
def test_disk_without_room_is_answered_in_one_line(
    name: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    monkeypatch.setattr(commands, "call", full)
    with pytest.raises(SystemExit) as end:
        commands.main(["report", "runs"])
    assert end.value.code == 2
    text = f"sbn: {name or 'a file'} cannot be written (No space left on device); make room, or choose another folder"
    assert capsys.readouterr().err == f"{text}\n"


CONFIG_OPTIONS = (" --config CONFIG [--KEY VALUE ...]\n", "  --data.root ", " --help all\n")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        *((command, CONFIG_OPTIONS) for command in ("fit", "validate", "test", "prepare")),
        ("predict", ("--config", "--images", "--out", "--device", "--batch-size", "--overwrite")),
        ("reproduce", ("--datasets", "--seeds", "--jobs", "--dry-run", "--cluster", "--out")),
    ],
)
def test_command_has_help(
    command: str, expected: tuple[str, ...], sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(SystemExit):
        sbn(command, "--help")
    text = capsys.readouterr().out
    assert text.startswith(f"usage: sbn {command} ")
    assert all(part in text for part in expected)


@pytest.mark.parametrize("spelling", [["--config", "digits_sbn"], ["-c", "digits_sbn"], ["--config=digits_sbn"]])
def test_shipped_config_is_found_by_name_from_any_folder(spelling: list[str]) -> None:
    resolved = with_config_paths(["fit", *spelling])[-1]
    assert Path(resolved) == config_folder() / "digits_sbn.yaml"


def test_file_of_the_users_own_comes_before_a_shipped_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits_sbn").write_text("seed_everything: 1")
    assert find_config("digits_sbn") == "digits_sbn"


def test_command_comes_before_its_options(answer: Callable[..., str]) -> None:
    assert "the command comes first: sbn fit --config digits_sbn" in answer("--config", "digits_sbn")


def test_bug_in_the_users_own_class_shows_its_traceback(fit_digits: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="a bug in the user's own head"):
        fit_digits("--model.head", "own_classes.BrokenHead")


def test_checkout_that_is_not_installed_says_what_to_do(tmp_path: Path) -> None:
    package = Path(commands.__file__).parents[2]
    run = subprocess.run(  # -S: without installed packages
        [sys.executable, "-S", "-m", "sbn_lightning", "fit"],
        cwd=tmp_path, env={"PYTHONPATH": str(package)}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.startswith("sbn: ")
    assert run.stderr.count("\n") == 1, run.stderr
    assert "pip install -e ." in run.stderr


def test_package_that_is_missing_is_named(answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(commands.COMMANDS, "fit", commands.Command("no_such_module:run", ""))
    assert "install sbn-lightning with all that it needs: pip install -e ." in answer("fit", "--config", "digits_sbn")


@pytest.mark.parametrize(
    ("set_by_the_user", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_that_wait_give_their_core_away_unless_the_user_says_how_they_wait(
    set_by_the_user: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = dict(set_by_the_user)
    monkeypatch.setattr(commands.os, "environ", environment)
    commands.let_threads_sleep()
    assert environment.get("GOMP_SPINCOUNT") == spins


def test_garbage_is_looked_for_again_when_everything_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looked: list[bool] = []

    def import_module(name: str) -> object:
        looked.append(gc.isenabled())
        return SimpleNamespace(report=lambda arguments: looked.append(gc.isenabled()))

    monkeypatch.setattr(commands, "import_module", import_module)
    monkeypatch.setattr(commands, "call", lambda command, function, arguments: function(arguments))
    commands.run(["report", str(tmp_path)])
    assert looked == [False, True]
