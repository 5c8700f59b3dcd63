"""What options of the user's own make of a grid's runs, and of what its folder says of them."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from fake_grid import ONE, TWO, Grid, is_alive, wait_for

from sbn_lightning.cli.prepare import PrepareCLI
from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.fit_options import SECTIONS, settings
from sbn_lightning.reproduce.grid import with_options
from sbn_lightning.reproduce.tables import digits_table, paper_table
from sbn_lightning.run.grid_records import PlannedRun


def paper_run(folder: str) -> PlannedRun:
    return next(run for run in paper_table() if run.folder == folder)


def test_options_come_last_and_may_change_what_no_label_names() -> None:
    run = with_options(paper_run("cifar100/ResNet50/softmax/seed1"), ["--config", "fast", "--trainer.max_epochs", "5"])
    assert settings(run.arguments).get("trainer.max_epochs") == 5
    assert settings(run.arguments).get("trainer.precision") == "bf16-mixed"
    assert (run.folder, run.settings, run.tuned_on) == ("cifar100/ResNet50/softmax/seed1", {}, "paper")
    run = with_options(next(run for run in digits_table() if run.label == "sbn"), ["--model.head.scale", "2"])
    assert run.settings == {"scale": 2}


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


def grid_file(declared: bool, tuned_on: str = "nothing") -> tuple[object, ...]:
    """Write a grid of one run, and return the options that take it."""
    head = {"class": "SoftmaxHead", "label": "softmax", "declared": declared, "tuned_on": tuned_on}
    Path("own.yaml").write_text(json.dumps({"configs": ["digits_softmax"], "heads": [head], "seeds": [0]}))
    return "--grid", "own.yaml", "--out", "own"


def test_what_was_said_of_a_run_before_its_result_stays(grid: Grid) -> None:
    assert grid(*grid_file(declared=False)) == 0
    kept = Path("own/grid.json").read_bytes()
    with pytest.raises(UsageError, match="declared was False, is True; tuned_on was nothing, is hold-out"):
        grid(*grid_file(declared=True, tuned_on="hold-out"))
    assert Path("own/grid.json").read_bytes() == kept
    assert grid(*grid_file(declared=False)) == 0


def planned(grid: Grid, key: str) -> set[object]:
    """What grid.json has for a setting, over all runs."""
    runs = json.loads((grid.root / "grid.json").read_text())["runs"]
    return {settings(run["arguments"]).get(key) for run in runs}


def test_it_may_change_until_a_run_is_started(grid: Grid) -> None:
    grid.behave(fail="prepare")
    with pytest.raises(UsageError, match="cannot be prepared"):
        grid(*TWO)
    grid.behave(fail="", refuse="fit")
    assert grid(*TWO) == 1
    assert grid(*TWO, "--optimizer.lr", "0.05") == 1
    grid.behave(refuse="")
    assert grid(*TWO, "--optimizer.lr", "0.04") == 0
    assert planned(grid, "optimizer.lr") == {0.04}


def test_runs_that_another_runner_is_about_to_train_stay_as_they_are(grid: Grid) -> None:
    grid.behave(wait="prepare fit")
    runner = grid.start(*TWO)
    wait_for(lambda: grid.calls("prepare"))
    other = grid.start("--seeds", 0, "--heads", "sbn", "--optimizer.lr", "0.05")
    assert other.stdout is not None
    assert "Another command is preparing" in other.stdout.readline()
    grid.behave(wait="fit")
    output, _ = other.communicate(timeout=60)
    assert other.returncode == 2
    assert "digits/SmallCNN/sbn/seed0: optimizer.lr was 0.02, is 0.05" in output
    grid.behave(wait="")
    assert runner.wait(60) == 0
    assert planned(grid, "optimizer.lr") == {0.02}


def test_runs_left_of_a_started_grid_stay_as_they_are(grid: Grid) -> None:
    grid.behave(refuse="sbn")
    assert grid(*TWO) == 1
    with pytest.raises(UsageError, match=r"grid that was started .*sbn/seed0: optimizer\.lr was 0\.02, is 0\.05"):
        grid("--seeds", 0, "--heads", "sbn", "--optimizer.lr", "0.05")


def test_changed_settings_are_refused_with_the_difference(grid: Grid) -> None:
    grid(*ONE)
    calls, kept = grid.calls(), (grid.root / "grid.json").read_bytes()
    for _ in range(2):
        with pytest.raises(UsageError, match=r"optimizer\.lr was 0\.02, is 0\.05.*--out DIR"):
            grid(*TWO, "--optimizer.lr", "0.05")
    assert (grid.calls(), (grid.root / "grid.json").read_bytes()) == (calls, kept)
    assert grid(*ONE, "--data.root", "elsewhere") == 0  # where the data is makes no difference
    assert grid(*ONE, "--optimizer.lr", "0.02") == 0  # as the run's config has it
    grid("--seeds", 1, "--heads", "softmax", "--optimizer.lr", "0.05")  # another run
    assert planned(grid, "optimizer.lr") == {0.02, 0.05}


def test_changed_config_file_fails_the_next_run_of_a_grid_and_is_refused_later(grid: Grid) -> None:
    Path("fast.yaml").write_text("trainer: {precision: bf16-mixed}")
    runner = grid.waiting(*TWO, "--config=fast.yaml")
    Path("fast.yaml").write_text("trainer: {precision: 32-true}")
    grid.behave(wait="")
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert "1 done, 0 running, 0 left, 1 failed" in output
    assert re.search(r"changed after it was planned:\s+\S*fast\.yaml\s+has\s+changed", output)
    with pytest.raises(UsageError, match=r"softmax/seed0: \S*fast\.yaml has changed; and 1 more runs"):
        grid(*TWO, "--config", "fast.yaml")


def test_grid_of_an_older_version_goes_on(grid: Grid) -> None:
    """run.json and grid.json as commit 1d7cd34 wrote them."""
    grid(*ONE)
    grid_json, run = grid.root / "grid.json", grid.run("softmax")
    (entry,) = json.loads(grid_json.read_text())["runs"]
    config = {"optimizer.lr": 0.02, "model.head": "SoftmaxHead"}
    old = {key: value for key, value in entry.items() if key != "files"} | {"config": config}
    grid_json.write_text(json.dumps({"runs": [old]}))
    notes = {"state": "finished", "attempts": 1, "seconds": 0.1, "error": None, "config": config, "runner": ["host", 3]}
    (run / "run.json").write_text(json.dumps(notes))
    calls = grid.calls()
    with pytest.raises(UsageError, match=r"optimizer\.lr was 0\.02, is 0\.05"):
        grid(*ONE, "--optimizer.lr", "0.05")
    assert grid(*ONE) == 0
    assert grid.calls() == calls


def test_ctrl_c_while_the_data_are_prepared_is_said_once(grid: Grid) -> None:
    grid.behave(wait="prepare")
    process = grid.start(*TWO)
    wait_for(lambda: grid.calls("prepare"))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to all processes of the command
    output, _ = process.communicate(timeout=60)
    assert (output, process.returncode) == ("sbn: stopped by Ctrl-C\n", 130)
    assert not is_alive(int(grid.calls("prepare")[0][-1]))


def test_sections_are_those_of_the_parser() -> None:
    config = PrepareCLI("prepare", ["--config", "digits_sbn"]).config
    assert set(vars(config)) == set(SECTIONS)
