"""What `sbn --help` prints."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_lightning.cli import overview
from sbn_lightning.cli.commands import COMMANDS
from sbn_lightning.config_files import shipped_configs

Sbn = Callable[..., None]


def test_overview_fits_80_columns_and_texts_of_commands_are_short(
    sbn: Sbn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    sbn("--help")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    for name, command in COMMANDS.items():
        assert f"  {name:<14}{command.text}" in lines
        assert len(command.text) < 55


def test_configs_are_a_table_of_dataset_and_head_and_what_is_missing_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, *lines = overview.matrix()
    assert heading.split() == ["softmax", "sbn", "am_softmax", "pedcc"]
    assert [line.split()[:5] for line in lines] == [
        [dataset, "x", "x", "x", "x"]
        for dataset in ("cifar100", "digits", "facescrub", "image_folder", "tiny_imagenet")
    ]
    assert "Digits that need no download" in lines[1]
    monkeypatch.setattr(overview, "shipped_configs", lambda: {"mnist_sbn": Path("mnist_sbn.yaml")})
    column = heading.index("sbn") + 1
    assert [character for character in enumerate(overview.matrix()[1][16:]) if character[1] != " "] == [
        (column - 16, "x")
    ]


def test_every_shipped_config_is_named(sbn: Sbn, capsys: pytest.CaptureFixture[str]) -> None:
    sbn("--help")
    words = capsys.readouterr().out.split()
    for config in shipped_configs():
        assert {part for part in overview.split_name(config) if part} <= set(words), config
    assert overview.split_name("digits_am_softmax") == ("digits", "am_softmax")
