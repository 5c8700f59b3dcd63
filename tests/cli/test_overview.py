"""What `sbn --help` prints."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_lightning.cli import overview
from sbn_lightning.cli.commands import COMMANDS
from sbn_lightning.config_files import HEADS, shipped_configs

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


def test_configs_are_a_table_of_head_and_dataset_and_what_is_missing_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = overview.matrix()
    table, datasets = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert table[0].split() == ["cifar100", "digits", "facescrub", "image_folder", "tiny_imagenet"]
    assert [one.split()[0] for one in table[1:]] == list(HEADS)
    assert all(one.split()[1:] == ["x"] * 5 for one in table[1:5])  # the paper's heads
    assert [one.split()[0] for one in datasets] == table[0].split()
    assert "Digits that need no download" in datasets[1]
    monkeypatch.setattr(overview, "shipped_configs", lambda: {"mnist_sbn": Path("mnist_sbn.yaml")})
    heading, *others = overview.matrix()[: 1 + len(HEADS)]
    assert {one.split()[0]: one.find("x", 16) for one in others if "x" in one[16:]} == {
        "sbn": heading.index("mnist") + 2
    }


def test_every_shipped_config_is_named(sbn: Sbn, capsys: pytest.CaptureFixture[str]) -> None:
    sbn("--help")
    words = capsys.readouterr().out.split()
    for config in shipped_configs():
        assert {part for part in overview.split_name(config) if part} <= set(words), config
    assert overview.split_name("digits_am_softmax") == ("digits", "am_softmax")
