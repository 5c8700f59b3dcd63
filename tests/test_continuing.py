"""What is finished stays byte for byte until its continuation has finished."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from sbn_lightning.cli import commands
from sbn_lightning.report.runs import read_runs
from sbn_lightning.run.files import FINISHED, LAST, NEXT_CONFIG, NEXT_RESULTS, RESULTS

Sbn = Callable[..., None]
KEPT = ("config.yaml", "results.json", "test.npz", "metrics.csv", "results.csv")
LONGER = ("fit", "--config", "run", "--ckpt_path", "last", "--trainer.max_epochs", 3)


class StopAt(Callback):
    """Fails in the optimizer step of a number."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(train_digits: Callable[..., Path]) -> Path:
    """A run of one epoch, trained and tested."""
    run = train_digits("--trainer.max_epochs=1", "--data.test_each_epoch=false", "--trainer.log_every_n_steps=5")
    commands.main(["test", "--config", str(run)])
    return run


@pytest.fixture
def run(finished: Path, sbn: Sbn) -> Path:
    """A copy of it in the current folder."""
    return Path(shutil.copytree(finished, "run")).absolute()


def kept(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in KEPT}


def record(run: Path) -> dict[str, Any]:
    return json.loads((run / RESULTS).read_text())


def interrupted(sbn: Sbn, step: int) -> None:
    """Continue the run, and interrupt that after a checkpoint of each step."""
    stop = [f"--trainer.callbacks={StopAt.__module__}.{StopAt.__name__}", f"--trainer.callbacks.step={step}"]
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        sbn(*LONGER, *stop, "--checkpoint.every_n_steps", 1)


FAILING = {
    "a schedule past its steps": [
        "--lr_scheduler",
        "OneCycleLR",
        "--lr_scheduler.max_lr",
        1,
        "--lr_scheduler.total_steps",
        1,
    ],
    "a divergence": ["--optimizer.lr", 1e30],
    "a missing class": ["--trainer.callbacks", "own_classes.Nothing"],
    "a lower goal": ["--trainer.max_epochs", 1, "--trainer.max_steps", 3],
}


@pytest.mark.parametrize("what", FAILING)
def test_continuation_that_fails_leaves_what_is_finished(what: str, run: Path, sbn: Sbn) -> None:
    before = kept(run)
    with pytest.raises(SystemExit):
        sbn(*LONGER, *FAILING[what])
    assert kept(run) == before
    assert [one.state for one in read_runs(run)] == ["finished"]


def test_continuation_takes_the_place_of_what_it_continued_at_its_end(run: Path, sbn: Sbn) -> None:
    before = record(run)
    sbn(*LONGER)
    now = record(run)
    assert (now["fit"]["last_epoch"], now["training"]["epochs"], now["evaluations"]) == (3, 3, {})
    (earlier,) = now["earlier"]
    assert earlier["evaluations"] == before["evaluations"]
    assert earlier["fit"] == before["fit"] | {"epochs": []}
    assert (earlier["commands"], earlier["started"]) == (before["commands"], before["started"])
    assert now["commands"] == ["sbn fit --config run --ckpt_path last --trainer.max_epochs 3"]
    assert "max_epochs: 3" in (run / "config.yaml").read_text()
    assert not any((run / name).exists() for name in (NEXT_CONFIG, NEXT_RESULTS, f"checkpoints/{FINISHED}"))
    sbn("test", "--config", "run")
    assert record(run)["earlier"] == [earlier]
    assert record(run)["evaluations"]["test"]["step"] == 36


def test_interrupted_continuation_keeps_the_finished_checkpoint_and_is_continued(
    run: Path, sbn: Sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    before, tested = kept(run), record(run)["evaluations"]["test"]
    weights = (run / "checkpoints" / LAST).read_bytes()
    interrupted(sbn, 17)
    assert kept(run) == before
    assert (run / "checkpoints" / FINISHED).read_bytes() == weights
    assert torch.load(run / "checkpoints" / LAST, weights_only=True)["global_step"] == 17

    sbn("test", "--config", "run")  # a checkpoint of the middle
    assert record(run)["evaluations"].keys() == {"test", "test_step_17"}
    sbn("test", "--config", "run", "--ckpt_path", run / "checkpoints" / FINISHED)
    again = record(run)["evaluations"]["test"]
    assert again | {"checkpoint": ""} == tested | {"checkpoint": ""}
    assert [one.state for one in read_runs(run)] == ["finished"]

    before, text = (
        kept(run),
        "checkpoints/finished.ckpt has been trained for 1 epoch (12 steps), as many as the command",
    )
    for options, code in ((("--ckpt_path", "last"), 2), (("--auto_resume", "true"), 0)):  # for one epoch, as at first
        with pytest.raises(SystemExit) as end:
            sbn("fit", "--config", "run", *options)
        assert end.value.code == code
        assert text in "".join(capsys.readouterr())
        assert kept(run) == before

    sbn(*LONGER[:-1], 2)
    assert record(run)["fit"]["last_epoch"] == 2
    assert [entry["fit"]["last_epoch"] for entry in record(run)["earlier"]] == [1]
    assert [text.partition(" --trainer")[0] for text in record(run)["commands"]] == [
        "sbn fit --config run --ckpt_path last"
    ] * 2
    with open(run / "results.csv") as table:
        first, second = csv.DictReader(table)  # whose end was trained by another start than its beginning
    assert (first["step"], second["step"]) == ("12", "24")
    assert min(float(first["seconds"]), float(second["seconds"])) > 0


def test_auto_resume_leaves_a_finished_run_alone_also_after_a_failed_continuation(run: Path, sbn: Sbn) -> None:
    with pytest.raises(SystemExit):
        sbn(*LONGER, *FAILING["a divergence"])
    before = kept(run)
    with pytest.raises(SystemExit) as end:
        sbn("fit", "--config", "run", "--auto_resume", "true")
    assert end.value.code == 0
    assert kept(run) == before


def test_finished_run_whose_checkpoints_are_gone_is_not_trained_again(run: Path, answer: Callable[..., str]) -> None:
    shutil.rmtree(run / "checkpoints")
    before = kept(run)
    for options in ([], ["--auto_resume", "true"]):
        said = answer("fit", "--config", "run", *options)
        assert "holds the results of a finished training, whose checkpoints are gone" in said
    assert kept(run) == before
