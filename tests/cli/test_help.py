"""The help of the commands with the options of `sbn fit`: the parser's own, and kept as long as it is true."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sbn_lightning.cli import help as kept_help
from sbn_lightning.cli.commands import COMMANDS, WITH_FIT_OPTIONS
from sbn_lightning.cli.help import INDENT, help_of, keep, kept_file, read_kept, wrapped
from sbn_lightning.cli.parser import ConfigCLI

PROGRAM = """
import sys
from sbn_lightning.cli.commands import main
main(sys.argv[1:])
sys.exit("torch" in sys.modules)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the only module that a kept help is made from."""
    file = tmp_path / "package" / "module.py"
    file.parent.mkdir()
    file.touch()
    imported = {"module": SimpleNamespace(__file__=str(file))}
    monkeypatch.setattr(kept_help, "sys", SimpleNamespace(modules=imported))
    return file


@pytest.fixture
def kept(tmp_path: Path, module: Path) -> Path:
    """The file of a help that was kept."""
    file = tmp_path / "cache" / "help.json"
    keep(file, "options:\n")
    assert read_kept(file) == "options:\n"
    return file


def test_second_help_is_the_first_and_does_not_import_torch(tmp_path: Path) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "COLUMNS": "80"}
    first, second, other = (
        subprocess.run([sys.executable, "-c", PROGRAM, *words], env=environment, capture_output=True, text=True)
        for words in (["fit", "--help"], ["fit", "--config", "digits_sbn", "-h"], ["test", "--help"])
    )
    assert (first.returncode, second.returncode, other.returncode) == (1, 0, 0), first.stderr + second.stderr
    assert first.stdout == second.stdout
    assert first.stdout.partition("options:")[2] == other.stdout.partition("options:")[2]
    assert f"usage: sbn test --config CONFIG [--KEY VALUE ...]\n\n{COMMANDS['test'].text}\n\n" in other.stdout


@pytest.mark.parametrize("command", WITH_FIT_OPTIONS)
def test_help_says_what_the_parser_says(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = help_of(command, "")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        ConfigCLI(command, ["--help"])
    options = printed.getvalue().partition("options:")[2]
    assert "--trainer.max_epochs" in options
    assert text.partition("options:")[2].split() == options.split()


@pytest.mark.parametrize("change", ["edited", "removed", "another"])
def test_kept_help_ends_with_the_files_that_it_was_made_from(change: str, module: Path, kept: Path) -> None:
    if change == "edited":
        os.utime(module, ns=(0, 0))
    elif change == "removed":
        module.unlink()
    else:
        os.utime(module.parent, ns=(0, 0))  # whose time changes with a new file in it
    assert read_kept(kept) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"made_from": 3, "text": ""}', '{"made_from": {}}'])
def test_file_that_is_not_a_kept_help_is_not_read(content: str, tmp_path: Path) -> None:
    (tmp_path / "help.json").write_text(content)
    assert read_kept(tmp_path / "help.json") is None


def test_help_needs_no_folder_that_it_can_be_kept_in(module: Path) -> None:
    keep(Path("/dev/null/help.json"), "options:\n")


def test_other_places_of_modules_have_another_help(monkeypatch: pytest.MonkeyPatch) -> None:
    here = kept_file()
    monkeypatch.setattr(sys, "path", [*sys.path, "/another/place"])
    assert kept_file() != here


def test_text_of_an_option_is_broken_at_the_width_and_never_in_a_name() -> None:
    name = f"a.name-that.is{'.long' * 5}"
    lines = wrapped(f"  --key KEY             Is of {name} or of another kind.", 50).splitlines()
    assert lines[1:] == [" " * INDENT + line for line in (name, "or of another kind.")]
    assert wrapped("A title", 50) == "A title"


def test_nothing_is_kept_without_a_home_folder(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    keep(Path("~/.cache/help.json"), "options:")
    assert set(tmp_path.rglob("*")) == before
