"""The help of the commands with the options of `sbn fit`: the keys that are used first, and all that the parser has."""

import contextlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import sbn_lightning
from sbn_lightning.backbones import Backbone
from sbn_lightning.cli.commands import COMMANDS, WITH_FIT_OPTIONS
from sbn_lightning.cli.help import INDENT, rows, wrapped
from sbn_lightning.cli.keys import CHOSEN, KEYS, REQUIRED
from sbn_lightning.cli.messages import class_names
from sbn_lightning.cli.parser import TITLES, ArgumentParser, ConfigCLI
from sbn_lightning.data import ImageDataModule
from sbn_lightning.heads import Head

Sbn = Callable[..., None]


class Parsed(ConfigCLI):
    """Builds nothing."""

    def parse_arguments(self, parser: ArgumentParser, args: Any) -> None:
        self.defaults = parser.get_defaults()
        super().parse_arguments(parser, args)

    def instantiate_classes(self) -> None:
        pass


def test_keys_of_the_table_are_those_of_the_parser_with_their_defaults() -> None:
    cli = Parsed("fit", ["--config", "digits_sbn", "--data", "CIFAR100"])
    for key in KEYS:
        if key.default == REQUIRED:
            assert cli.defaults.get(key.name) is None
        elif key.name.startswith("data."):
            assert cli.config.data.init_args[key.name.partition(".")[2]] == key.default, key.name
        else:
            assert cli.defaults[key.name] == key.default, key.name
    assert {"optimizer.lr"} == {key.name for key in KEYS if key.default == REQUIRED} - CHOSEN.keys()
    assert "lr" in cli.config.optimizer.init_args


def test_short_help_names_about_twenty_keys() -> None:
    assert 15 <= len([key for key in KEYS if "fit" in key.commands]) <= 20


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "digits_sbn", "--help"],
        ["-h", "-c", "digits_sbn"],
        ["--config=digits_softmax", "--help", "--config", "digits_sbn"],
    ],
)
def test_short_help_shows_the_values_of_the_config_wherever_it_stands(
    words: list[str], sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    sbn("fit", *words, "--optimizer.lr", "0.5")
    lines = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines() if "  --" in line}
    expected = {
        "--data": "Digits",
        "--model.head": "ScaledBatchNormHead",
        "--model.head.scale": "3.0",
        "--model.head.momentum": "0.1",  # the head's own default
        "--data.crop_padding": "1",
        "--optimizer.lr": "0.5",
        "--trainer.max_epochs": "30",
        "--run_dir": "null",
    }
    assert expected.items() <= lines.items()


def test_short_help_shows_the_settings_of_a_class_of_the_users_own() -> None:
    found = {"model.head": "TheirHead", "model.head.margin": 0.3}
    assert ("--model.head.margin", "0.3", "") in list(rows("fit", found))


@pytest.mark.parametrize("config", [[], ["--config", "digits_sbn"], ["--config", "image_folder_pedcc"]])
@pytest.mark.parametrize("width", [80, 100])
def test_short_help_is_one_screen(
    width: int, config: list[str], sbn: Sbn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    sbn("fit", *config, "--help")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= {80: 80, 100: 52}[width]


@pytest.mark.parametrize("command", WITH_FIT_OPTIONS)
def test_short_help_does_not_import_torch(command: str) -> None:
    program = """
import sys
from sbn_lightning.cli.commands import main
main(sys.argv[1:])
sys.exit("torch" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", program, command, "--help"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(
        f"usage: sbn {command} --config CONFIG [--KEY VALUE ...]\n\n{COMMANDS[command].text}\n\n"
    )
    assert f"sbn {command} --config digits_sbn --help all\n" in ran.stdout


def test_help_all_is_the_whole_list_of_the_parser_with_readable_titles(
    sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    sbn("fit", "--config", "digits_sbn", "--help", "all")
    lines = capsys.readouterr().out.splitlines()
    assert any("--trainer.gradient_clip_algorithm" in line for line in lines)
    assert not any(":`" in line or "``" in line for line in lines)  # references, as docstrings write them
    titles = [line for line in lines if line and line[0] != " "]
    assert titles[0] == "usage: sbn fit --config CONFIG [--KEY VALUE ...]"
    assert titles[3:] == [f"{title}:" for title in TITLES.values()] + ["Linked arguments:"]


def test_help_of_a_class_is_no_wider_than_the_terminal(
    sbn: Sbn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with contextlib.suppress(SystemExit):
        sbn("fit", "--model.head.help", "PEDCCHead")
    printed = capsys.readouterr().out
    assert "\nAM-Softmax on fixed centroids" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("base", [Backbone, Head, ImageDataModule])
def test_description_of_a_class_starts_with_one_line_which_its_help_takes_as_a_title(base: type) -> None:
    for name in class_names(base):
        if kind := getattr(sbn_lightning, name, None):
            first = (inspect.getdoc(kind) or "").partition("\n\n")[0]
            assert "\n" not in first, first
            assert first.endswith((".", ":")), first


def test_text_of_an_option_is_broken_at_the_width_and_never_in_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    name = f"a.name-that.is{'.long' * 5}"
    lines = wrapped(f"  --key KEY             Is of {name} or of another kind.").splitlines()
    assert lines[1:] == [" " * INDENT + line for line in (name, "or of another kind.")]
    assert wrapped("A title") == "A title"
