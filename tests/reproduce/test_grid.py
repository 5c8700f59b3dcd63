"""Grids as data: filters, files of the user's own, and what a command line sets."""

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_lightning import heads
from sbn_lightning.cli import commands
from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.command import reproduce
from sbn_lightning.reproduce.fit_options import changed_settings, hashes, options_in, settings
from sbn_lightning.reproduce.grid import chosen
from sbn_lightning.reproduce.tables import digits_table, family_table, grid_from_file, paper_table

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


def test_family_has_every_head_of_the_package_with_five_seeds() -> None:
    runs = list(family_table())
    classes = {name for name in heads.__all__ if name.endswith("Head")} - {"Head"}
    assert {run.head for run in runs} == classes
    assert len({run.folder for run in runs}) == len(runs) == 5 * len(classes)
    assert {run.seed for run in runs} == {0, 1, 2, 3, 4}


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
        ({"datasets": []}, "no run of the grid passes all of these filters"),
    ],
)
def test_filters_that_leave_nothing_and_unknown_names_are_refused(filters: dict[str, list[str]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen(list(paper_table()), filters)


def test_example_in_the_documentation_is_a_grid(write: Write) -> None:
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


def after_configs(text: str) -> str:
    return f"configs: [digits_sbn]\n{text}"


MISTAKES = {
    "[1]": "grid.yaml: Expected `object`, got `array`",
    "configs: [": "grid.yaml is not valid YAML",
    "seeds: [0]": "Object missing required field `configs`",
    "configs: []": r"Expected `array` of length >= 1 - at `\$.configs`",
    "config: [digits_sbn]": r"unknown field `config`, did you mean 'configs'\?",
    "configs: [digit_sbn]": "there is no config 'digit_sbn'",
    "configs: [3]": r"got `int` - at `\$.configs\[0\]`",
    "configs: [{confg: a}]": r"unknown field `confg` - at `\$.configs\[0\]`, did you mean 'config'\?",
    "configs: [{config: digits_sbn, label: ..}]": r"label '\.\.' cannot name a folder",
    "configs: [own.yaml]": "does not set model.backbone",
    after_configs("heads: [{class: X, scale: 3}]"): r"unknown field `scale` - at `\$.heads\[0\]`",
    after_configs("heads: [{label: x}]"): r"missing required field `class` - at `\$.heads\[0\]`",
    after_configs("heads: [{class: X, settings: 3}]"): r"`\$.heads\[0\].settings`",
    after_configs("heads: [{class: X, declared: 'no'}]"): r"`bool`, got `str` - at `\$.heads\[0\].declared`",
    after_configs("heads: [X, {class: X, label: a/b}]"): "label 'a/b' cannot name a folder: use letters.*heads",
    after_configs("heads: [X, X]"): "two runs would have the folder .*different labels",
    after_configs("seeds: [1, 1]"): r"seeds must be different, but are \[1, 1\]",
    after_configs("seeds: [true]"): r"Expected `int`, got `bool` - at `\$.seeds\[0\]`",
    after_configs("seeds: [-1]"): r"Expected `int` >= 0 - at `\$.seeds\[0\]`",
    after_configs("seeds: [4294967296]"): r"at `\$.seeds\[0\]`",
    after_configs("options: [1]"): r"Expected `object`, got `array` - at `\$.options`",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake_in_a_grid_file_is_named(text: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.yaml").write_text("data: Digits")
    with pytest.raises(UsageError, match=MISTAKES[text]):
        grid_from_file(write(text))
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


def test_hashes_are_of_the_content_of_every_file(write: Write) -> None:
    """Comments and the order of the keys do not count."""
    options = ["-c", "a.yaml", "--config=cifar100_sbn"]
    Path("a.yaml").write_text("optimizer: parts/sgd.yaml\ndata: Digits")
    Path("parts").mkdir()
    Path("parts/sgd.yaml").write_text("{lr: 0.1}")
    before = hashes(options)
    folder = Path().absolute().resolve()
    assert list(before) == [
        f"{folder}/a.yaml", f"{folder}/parts/sgd.yaml", "cifar100_sbn.yaml", "parts/trainer.yaml", "parts/sgd.yaml",
        "parts/steps.yaml", "parts/callbacks.yaml",
    ]  # fmt: skip
    Path("a.yaml").write_text("data: Digits\noptimizer: parts/sgd.yaml  # a comment")
    assert hashes(options) == before
    Path("parts/sgd.yaml").write_text("lr: 0.2")
    after = hashes(options)
    assert [name for name, value in after.items() if value != before[name]] == [f"{folder}/parts/sgd.yaml"]
    Path("a.yaml").write_text("1: x\ndata: Digits")
    with pytest.raises(UsageError, match=r"a\.yaml has a key that is not a name"):
        hashes(options)


@pytest.mark.parametrize("arguments", [["stray"], ["--trainer.max_epochs"], ["--a", "1", "2"]])
def test_arguments_that_are_not_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match=r"is not the value of an option|has no value"):
        list(options_in(arguments))
