"""What options of the user's own make of a grid's runs, and of what its folder says of them."""

import json
from pathlib import Path

import pytest
from fake_grid import Grid, wait_for

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.grid import Run, with_options
from sbn_lightning.reproduce.settings import load_yaml
from sbn_lightning.reproduce.tables import digits_table, paper_table

ONE = ("--seeds", 0, "--heads", "softmax")
TWO = ("--seeds", 0, "--heads", "softmax", "sbn")


def paper_run(folder: str) -> Run:
    return next(run for run in paper_table() if run.folder == folder)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--trainer.max_epochs", "5"),
        ("--data.batch_size", "64"),
        ("--data.crop_padding=2", ""),
        ("--model.backbone.width", "8"),
        ("--optimizer.lr", "0.2"),
        ("--lr_scheduler.gamma", "0.5"),
        ("--trainer.gradient_clip_val", "1"),
    ],
)
def test_another_training_is_not_set_against_the_paper(option: str, value: str) -> None:
    run = with_options(paper_run("cifar100/ResNet50/softmax/seed1"), [option, value] if value else [option])
    assert run.paper is None
    assert run.tuned_on == "paper, in another training"


def test_what_leaves_the_training_as_it_is_leaves_the_papers_result() -> None:
    options = ["--data.root", "x", "--trainer.precision", "bf16-mixed", "--data.on_device", "true"]
    run = with_options(paper_run("cifar100/ResNet50/softmax/seed1"), [*options, "--trainer.max_epochs", "100"])
    assert run.paper is not None
    assert run.tuned_on == "paper"
    assert run.config["trainer.precision"] == "bf16-mixed"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model.backbone", "SmallCNN"], r"model\.backbone was ResNet18, is SmallCNN"),
        (["--model.head=SoftmaxHead"], r"model\.head was ScaledBatchNormHead, is SoftmaxHead"),
        (["--data", "Digits"], r"data was CIFAR100, is Digits"),
        (["--model.head.init_args.scale", "2"], r"model\.head\.scale was 0\.9, is 2"),
        (["--config", "cifar100_sbn"], r"seed_everything was 1, is 0"),
        (["--config", "cifar100_softmax"], r"model\.head was ScaledBatchNormHead, is SoftmaxHead; .*seed_everything"),
    ],
)
def test_what_a_folder_is_named_after_stays(options: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=f"sets .* for each run, and cifar100/ResNet18/sbn-0.9/seed1.*{said}"):
        with_options(paper_run("cifar100/ResNet18/sbn-0.9/seed1"), options)


def test_settings_that_no_label_names_may_change() -> None:
    run = with_options(next(run for run in digits_table() if run.label == "sbn"), ["--model.head.scale", "2"])
    assert run.settings == {"scale": 2}


def grid_file(declared: bool, tuned_on: str = "nothing") -> tuple[object, ...]:
    """The options that take a grid of one run."""
    head = {"class": "SoftmaxHead", "label": "softmax", "declared": declared, "tuned_on": tuned_on}
    load_yaml.cache_clear()  # as in a new process
    Path("own.yaml").write_text(json.dumps({"configs": ["digits_softmax"], "heads": [head], "seeds": [0]}))
    return "--grid", "own.yaml", "--out", "own"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((False, "nothing"), (True, "nothing"), "declared was False, is True"),
        ((True, "nothing"), (True, "hold-out"), "tuned_on was nothing, is hold-out"),
    ],
)
def test_what_was_said_of_a_run_before_its_result_stays(
    before: tuple[bool, str], after: tuple[bool, str], said: str, grid: Grid
) -> None:
    assert grid(*grid_file(*before)) == 0
    kept = Path("own/grid.json").read_bytes()
    with pytest.raises(UsageError, match=said):
        grid(*grid_file(*after))
    assert Path("own/grid.json").read_bytes() == kept
    assert grid(*grid_file(*before)) == 0


def test_it_may_change_until_the_run_is_begun(grid: Grid) -> None:
    grid.behave(fail="prepare")
    options = ("--seeds", 0, 1)
    with pytest.raises(UsageError, match="cannot be prepared"):
        grid(*options)
    with pytest.raises(UsageError, match="cannot be prepared"):
        grid(*options, "--optimizer.lr", "0.05")  # nothing is begun
    stored = json.loads((grid.root / "grid.json").read_text())["runs"]
    assert {run["config"]["optimizer.lr"] for run in stored} == {0.05}


def test_runs_that_another_runner_is_about_to_train_stay_as_they_are(grid: Grid) -> None:
    grid.behave(wait="prepare softmax")
    runner = grid.start(*TWO)
    for begun in (False, True):
        wait_for(lambda: grid.calls("prepare"))
        with pytest.raises(UsageError, match=r"another command .*/sbn/seed0: optimizer\.lr was 0\.02, is 0\.05.*--out"):
            grid("--seeds", 0, "--heads", "sbn", "--optimizer.lr", "0.05")
        if not begun:
            grid.behave(wait="softmax")
            wait_for(lambda: grid.calls("fit"))
    grid.behave(wait="")
    assert runner.wait(60) == 0
    stored = json.loads((grid.root / "grid.json").read_text())["runs"]
    assert {run["config"]["optimizer.lr"] for run in stored} == {0.02}


def test_runs_left_of_a_begun_grid_stay_as_they_are(grid: Grid) -> None:
    grid.behave(fail="prepare")
    with pytest.raises(UsageError, match="cannot be prepared"):
        grid(*TWO)
    grid.behave(fail="")
    grid(*ONE)
    with pytest.raises(UsageError, match=r"grid that was begun .*sbn/seed0: optimizer\.lr was 0\.02, is 0\.05"):
        grid("--seeds", 0, "--heads", "sbn", "--optimizer.lr", "0.05")
