"""Grids as data: filters, files of the user's own, and what a command line sets."""

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_lightning.cli import commands
from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.command import reproduce
from sbn_lightning.reproduce.fit_options import changed_settings, hashes, options_in, settings
from sbn_lightning.reproduce.grid import chosen
from sbn_lightning.reproduce.tables import digits_table, grid_from_file, paper_table

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes grid.yaml in an otherwise empty current folder."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
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
        ({"heads": ["sbm"]}, r"--heads: the grid has no 'sbm'.*known are .*, sbn, sbn-0.8"),
        ({"backbones": ["vgg"]}, r"--backbones: .*LSoftmaxVGG, ResNet18, ResNet50"),
        ({"seeds": ["3"]}, r"--seeds: .*known are 0, 1, 2"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(filters: dict[str, list[str]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen(list(paper_table()), filters)


def test_filters_that_leave_nothing_are_refused(write: Write) -> None:
    path = write("configs: [digits_sbn, cifar100_softmax]\n")
    with pytest.raises(UsageError, match="no run of the grid passes all of these filters"):
        chosen(grid_from_file(path), {"datasets": ["CIFAR100"], "backbones": ["SmallCNN"]})


def test_example_in_the_documentation_is_a_grid(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    example = str(inspect.getdoc(reproduce)).partition("seeds:\n\n")[2].partition("\n\n")[0]
    runs = grid_from_file(write(textwrap.dedent(example)))
    assert len(runs) == 2 * 3 * 3
    assert runs[1].folder == "image_folder_softmax/ResNet18/sbn-3/seed0"
    assert (runs[1].label, runs[1].tuned_on, runs[1].settings) == ("sbn-3", "hold-out", {"scale": 3.0})
    assert (runs[2].head, runs[2].settings, runs[2].tuned_on) == ("MyHead", {"width": 2}, "nothing")
    assert settings(runs[0].arguments).get("trainer.max_epochs") == 50
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
    "not a mapping": ("[1]", "grid.yaml: Expected `object`, got `array`"),
    "broken": ("configs: [", "grid.yaml is not valid YAML"),
    "no configs": ("seeds: [0]", "Object missing required field `configs`"),
    "empty list": ("configs: []", r"Expected `array` of length >= 1 - at `\$.configs`"),
    "unknown key": ("config: [digits_sbn]", r"unknown field `config`, did you mean 'configs'\?"),
    "unknown config": ("configs: [digit_sbn]", "'digit_sbn' is neither"),
    "config that is a number": ("configs: [3]", r"got `int` - at `\$.configs\[0\]`"),
    "unknown key of a config": (
        "configs: [{confg: digits_sbn}]",
        r"unknown field `confg` - at `\$.configs\[0\]`, did you mean 'config'\?",
    ),
    "unknown key of a head": (
        "configs: [digits_sbn]\nheads: [{class: X, scale: 3}]",
        r"unknown field `scale` - at `\$.heads\[0\]`",
    ),
    "head without class": (
        "configs: [digits_sbn]\nheads: [{label: x}]",
        r"missing required field `class` - at `\$.heads\[0\]`",
    ),
    "settings not a mapping": ("configs: [digits_sbn]\nheads: [{class: X, settings: 3}]", r"`\$.heads\[0\].settings`"),
    "declared not true or false": (
        "configs: [digits_sbn]\nheads: [{class: X, declared: 'no'}]",
        r"Expected `bool`, got `str` - at `\$.heads\[0\].declared`",
    ),
    "label with a slash": (
        "configs: [digits_sbn]\nheads: [X, {class: X, label: a/b}]",
        r"label 'a/b' cannot name a folder: use letters.* at `\$.heads\[1\]`",
    ),
    "label that climbs": ("configs: [{config: digits_sbn, label: ..}]", r"label '\.\.' cannot name a folder"),
    "seed twice": ("configs: [digits_sbn]\nseeds: [1, 1]", r"seeds must be different, but are \[1, 1\]"),
    "seed not a number": ("configs: [digits_sbn]\nseeds: [true]", r"Expected `int`, got `bool` - at `\$.seeds\[0\]`"),
    "seed below 0": ("configs: [digits_sbn]\nseeds: [-1]", r"Expected `int` >= 0 - at `\$.seeds\[0\]`"),
    "seed too large": ("configs: [digits_sbn]\nseeds: [4294967296]", r"at `\$.seeds\[0\]`"),
    "options not a mapping": (
        "configs: [digits_sbn]\noptions: [1]",
        r"Expected `object`, got `array` - at `\$.options`",
    ),
    "one folder for two": ("configs: [digits_sbn]\nheads: [X, X]", "two runs would have the folder .*different labels"),
    "no backbone": ("configs: [own.yaml]", "does not set model.backbone"),
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


def test_file_that_is_not_there_is_named(write: Write) -> None:
    with pytest.raises(UsageError, match=r"no\.yaml cannot be read: No such file"):
        grid_from_file(Path("no.yaml"))


def test_later_settings_take_the_place_of_earlier_ones(write: Write) -> None:
    Path("a.yaml").write_text("optimizer: sgd.yaml\nmodel: {head: {class_path: A, init_args: {scale: 3, margin: 1}}}\n")
    Path("sgd.yaml").write_text("class_path: torch.optim.SGD\ninit_args: {lr: 0.1}\n")
    Path("b.yaml").write_text("{model: {head: {init_args: {scale: 5}}}, data: {init_args: {on_device: true}}}")
    options = ["--config", "a.yaml", "--optimizer.lr", "1e-3", "--model.head.init_args.scale=2", "--data", "my.Digits"]
    found = {"optimizer": "torch.optim.SGD", "optimizer.lr": 0.001, "data": "Digits"}
    found |= {"model.head": "A", "model.head.scale": 2, "model.head.margin": 1}
    assert settings(options) == found
    assert settings([*options, "-c", "b.yaml"]) == found | {"model.head.scale": 5, "data.on_device": True}
    assert settings([*options, "--config={trainer: {devices: 2}}"]) == found | {"trainer.devices": 2}
    assert settings([*options, "--trainer", "{devices: 3}"]) == found | {"trainer.devices": 3}
    assert settings([*options[:2], "--model.head", "A", "--optimizer", "null"]) == {
        "model.head": "A", "model.head.scale": 3, "model.head.margin": 1, "optimizer": None
    }  # fmt: skip
    assert settings([*options[:2], "--model.head=B"]) == {
        "model.head": "B", "optimizer": "torch.optim.SGD", "optimizer.lr": 0.1
    }  # fmt: skip


def test_changed_settings_are_named_and_what_never_matters_is_not() -> None:
    before = {"data": "A", "data.root": "x", "optimizer.lr": 0.1, "trainer.max_epochs": 1}
    assert changed_settings(before, before | {"data.root": "y", "checkpoint.every_n_epochs": 2}) == []
    assert changed_settings(before, {"data": "A", "optimizer.lr": 0.2, "data.crop": None}) == [
        "data.crop was the default, is None", "optimizer.lr was 0.1, is 0.2", "trainer.max_epochs was 1, is the default"
    ]  # fmt: skip


def test_hashes_are_of_every_file_and_not_of_comments(write: Write) -> None:
    Path("a.yaml").write_text("optimizer: parts/sgd.yaml\n")
    Path("parts").mkdir()
    Path("parts/sgd.yaml").write_text("{lr: 0.1}")
    before = hashes(["-c", "a.yaml", "--config=cifar100_sbn"])
    folder = Path().absolute().resolve()
    assert list(before) == [
        f"{folder}/a.yaml", f"{folder}/parts/sgd.yaml", "cifar100_sbn.yaml", "parts/trainer.yaml", "parts/sgd.yaml",
        "parts/steps.yaml", "parts/callbacks.yaml",
    ]  # fmt: skip
    Path("parts/sgd.yaml").write_text("lr: 0.1  # a comment")
    assert hashes(["-c", "a.yaml", "--config=cifar100_sbn"]) == before
    Path("parts/sgd.yaml").write_text("lr: 0.2")
    after = hashes(["--config", "a.yaml"])
    assert [name for name, value in after.items() if value != before[name]] == [f"{folder}/parts/sgd.yaml"]


@pytest.mark.parametrize("arguments", [["stray"], ["--trainer.max_epochs"], ["--a", "1", "2"]])
def test_arguments_that_are_not_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match=r"is not the value of an option|has no value"):
        list(options_in(arguments))


def test_hashes_do_not_depend_on_the_order_of_keys(write: Write) -> None:
    Path("a.yaml").write_text("seed_everything: 1\ndata: Digits")
    before = hashes(["--config", "a.yaml"])
    Path("a.yaml").write_text("data: Digits\nseed_everything: 1")
    assert hashes(["--config", "a.yaml"]) == before


def test_config_with_a_key_that_is_not_a_name_is_refused(write: Write) -> None:
    Path("a.yaml").write_text("1: x\ndata: Digits")
    with pytest.raises(UsageError, match=r"a\.yaml has a key that is not a name"):
        hashes(["--config", "a.yaml"])
