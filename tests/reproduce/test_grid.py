"""Grids as data: filters, files of the user's own, and what a command line sets."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sbn_lightning.cli import commands
from sbn_lightning.config_files import config_folder
from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce import grid_file
from sbn_lightning.reproduce.grid import chosen
from sbn_lightning.reproduce.grid_file import grid_from_file
from sbn_lightning.reproduce.settings import differences, load_yaml, settings_of
from sbn_lightning.reproduce.tables import digits_table, paper_table

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes grid.yaml in an otherwise empty current folder."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        load_yaml.cache_clear()
        (tmp_path / "grid.yaml").write_text(text)
        return Path("grid.yaml")

    return write


def test_digits_table_is_four_heads_times_three_seeds() -> None:
    runs = list(digits_table())
    assert len(runs) == 12
    assert runs[1].folder == "digits/SmallCNN/sbn/seed0"
    assert (runs[1].dataset, runs[1].head, runs[1].settings) == ("Digits", "ScaledBatchNormHead", {"scale": 3.0})
    assert runs[1].paper is None


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"datasets": ["cifar100"]}, 72),
        ({"datasets": ["CIFAR100", "facescrub"]}, 144),
        ({"backbones": ["resnet18"], "seeds": ["0", "2"]}, 48),
        ({"heads": ["sbn"]}, 81),
        ({"heads": ["sbn-0.9", "SoftmaxHead"]}, 54),
        ({"heads": ["PEDCCHead"], "datasets": ["tiny_imagenet"], "backbones": ["LSoftmaxVGG"], "seeds": ["1"]}, 2),
    ],
)
def test_filters_choose_runs_by_name(filters: dict[str, list[str]], count: int) -> None:
    assert len(chosen(list(paper_table()), filters)) == count


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"datasets": ["cifar10"]}, r"--datasets: the grid has no 'cifar10', did you mean 'cifar100'\?; known are"),
        ({"heads": ["sbm"]}, r"--heads: .*'sbn'"),
        ({"backbones": ["vgg"]}, r"--backbones: .*LSoftmaxVGG, ResNet18, ResNet50"),
        ({"seeds": ["3"]}, r"--seeds: .*known are 0, 1, 2"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(filters: dict[str, list[str]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen(list(paper_table()), filters)


def test_filters_that_leave_nothing_are_refused(write: Write) -> None:
    path = write("configs: [digits_sbn, cifar100_softmax]\n")
    with pytest.raises(UsageError, match="no run of the grid fits all of these filters"):
        chosen(grid_from_file(path), {"datasets": ["CIFAR100"], "backbones": ["SmallCNN"]})


def test_example_in_the_documentation_is_a_grid(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    example = str(grid_file.__doc__).partition("\n\n")[2]
    runs = grid_from_file(write(example))
    assert len(runs) == 2 * 3 * 3
    assert runs[1].folder == "image_folder_softmax/ResNet18/sbn-3/seed0"
    assert (runs[1].label, runs[1].tuned_on, runs[1].settings) == ("sbn-3", "hold-out", {"scale": 3.0})
    assert (runs[2].head, runs[2].settings, runs[2].tuned_on) == ("MyHead", {"width": 2}, "nothing")
    assert runs[0].config["trainer.max_epochs"] == 50
    assert runs[0].settings == {}


def test_grid_of_configs_alone_takes_each_as_it_is(write: Write) -> None:
    path = write("configs: [digits_softmax, {config: own.yaml, label: mine}]\nseeds: [7]\n")
    Path("own.yaml").write_text(
        "model: {backbone: SmallCNN, head: {class_path: ScaledBatchNormHead, init_args: {scale: 2}}}\ndata: Digits\n"
    )
    runs = grid_from_file(path)
    assert [run.folder for run in runs] == ["Digits/SmallCNN/digits_softmax/seed7", "Digits/SmallCNN/mine/seed7"]
    assert runs[1].settings == {"scale": 2}
    assert Path(runs[1].arguments[1]).is_absolute()


MISTAKES = {
    "no mapping": ("[1]", "holds no settings"),
    "broken": ("configs: [", "grid.yaml cannot be read"),
    "no configs": ("seeds: [0]", "configs is None; it is a list with at least one entry"),
    "unknown key": ("config: [digits_sbn]", r"there is no key 'config', did you mean 'configs'\?"),
    "unknown config": ("configs: [digit_sbn]", "'digit_sbn' is neither"),
    "unknown key of a config": ("configs: [{confg: digits_sbn}]", r"configs\[0\]: there is no key 'confg'"),
    "unknown key of a head": (
        "configs: [digits_sbn]\nheads: [{class: X, scale: 3}]",
        r"heads\[0\]: there is no key 'scale'",
    ),
    "head without class": ("configs: [digits_sbn]\nheads: [{label: x}]", "heads: class is None; it is a text"),
    "settings no mapping": ("configs: [digits_sbn]\nheads: [{class: X, settings: 3}]", "heads: settings is 3"),
    "declared no truth": (
        "configs: [digits_sbn]\nheads: [{class: X, declared: 'no'}]",
        "declared is 'no'; it is true or",
    ),
    "label with a slash": (
        "configs: [digits_sbn]\nheads: [{class: X, label: a/b}]",
        "label is 'a/b'; it names a folder",
    ),
    "label that climbs": ("configs: [{config: digits_sbn, label: ..}]", "label is '..'; it names a folder"),
    "seed twice": ("configs: [digits_sbn]\nseeds: [1, 1]", r"seeds is \[1, 1\]"),
    "seed no number": ("configs: [digits_sbn]\nseeds: [true]", "seeds is"),
    "one folder for two": ("configs: [digits_sbn]\nheads: [X, X]", "two runs would lie in .*different labels"),
    "no backbone": ("configs: [own.yaml]", "sets no model.backbone"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_a_grid_file_is_named(mistake: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    text, said = MISTAKES[mistake]
    write(text)
    Path("own.yaml").write_text("data: Digits")
    with pytest.raises(UsageError, match=said):
        grid_from_file(Path("grid.yaml"))
    with pytest.raises(SystemExit) as end:
        commands.main(["reproduce", "--grid", "grid.yaml", "--dry-run"])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_settings_are_those_of_files_and_options_in_order(write: Write) -> None:
    Path("a.yaml").write_text("optimizer: sgd.yaml\nmodel: {head: {class_path: A, init_args: {scale: 3, margin: 1}}}\n")
    Path("sgd.yaml").write_text("class_path: torch.optim.SGD\ninit_args: {lr: 0.1}\n")
    options = ["--config", "a.yaml", "--optimizer.lr", "1e-3", "--model.head.init_args.scale=2", "--data", "Digits"]
    expected = {
        "data": "Digits",
        "model.head": "A",
        "model.head.margin": 1,
        "model.head.scale": 2,
        "optimizer": "torch.optim.SGD",
        "optimizer.lr": 0.001,
    }
    assert settings_of(options) == expected
    assert settings_of([*options, "--run_dir", "x", "--data.root", "y"]) == expected
    other = settings_of([*options, "--model.head", "B"])
    assert {key for key in other if key.startswith("model.head")} == {"model.head"}  # another class, its own defaults
    assert differences(expected, other) == [
        "model.head was A, is B", "model.head.margin was 1, is not set", "model.head.scale was 2, is not set",
    ]  # fmt: skip


def test_settings_of_a_shipped_config_are_its_parts() -> None:
    settings = settings_of(["--config", "cifar100_sbn"])
    sgd = yaml.safe_load((config_folder() / "parts/sgd.yaml").read_text())
    assert settings["optimizer.lr"] == sgd["init_args"]["lr"]
    assert settings["trainer.callbacks"][0] == "LogitHistogram"
    assert settings["model.head.scale"] == 0.9


@pytest.mark.parametrize("arguments", [["stray"], ["--trainer.max_epochs"], ["--a", "1", "2"]])
def test_arguments_that_are_no_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match=r"belongs to no option|has no value"):
        settings_of(arguments)
