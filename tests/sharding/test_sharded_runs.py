"""Whole trainings with `--trainer.strategy sharded_head` on two processes: as one process, and continued anywhere."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import sbn_on_two

from sbn_lightning.checkpointing.verify import compare_checkpoints
from sbn_lightning.cli import commands
from sbn_lightning.run.records import read_results

STRATEGY = "sharded_head"
LAST = "checkpoints/last.ckpt"
FIT = [
    "fit", "--config", "digits_sbn", "--model.backbone=own_classes.PlainCNN", "--model.head.scale=2",
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=2",
    "--trainer.gradient_clip_val=0.5", "--checkpoint.every_n_steps=17",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, digits_root: Path) -> Path:
    """A folder with trainings of 24 steps, `one` and `two` by their processes; and others that continue these two from
    step 17, in the second epoch, each of which ends with a batch that two processes share as 15 + 14.
    """
    folder = tmp_path_factory.mktemp("sharded")
    fit = [*FIT, f"--data.root={digits_root}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        commands.main([*fit, "--run_dir=one"])
        said = sbn_on_two(*fit, "--run_dir=two", strategy=STRATEGY)
        assert "128 images in total, 64 on each of 2 CPU processes, which divide the head's classes (" in said
        for run in ("one_to_two", "two_to_one", "two_to_two"):
            (folder / run / LAST).parent.mkdir(parents=True)
            shutil.copy(folder / run.partition("_")[0] / "checkpoints/previous.ckpt", folder / run / LAST)
        for run in ("one_to_two", "two_to_two"):
            sbn_on_two(*fit, f"--run_dir={run}", "--ckpt_path=last", strategy=STRATEGY)
        with pytest.warns(UserWarning, match="the checkpoint is of 2 processes, and training continues on 1"):
            commands.main([*fit, "--run_dir=two_to_one", "--ckpt_path=last"])
    return folder


def stored(run: Path) -> dict[str, Any]:
    return torch.load(run / LAST, weights_only=True)


@pytest.mark.parametrize("run", ["two", "one_to_two", "two_to_one"])
def test_checkpoint_is_that_of_one_process_wherever_its_steps_were_made(runs: Path, run: str) -> None:
    ours, one = stored(runs / run), stored(runs / "one")
    # Summed in another order.
    torch.testing.assert_close(ours["state_dict"], one["state_dict"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours["optimizer_states"], one["optimizer_states"], rtol=1e-4, atol=1e-4)


def test_epoch_counts_every_image_once_as_one_process_does(runs: Path) -> None:
    two, one = (json.loads((runs / run / "results.json").read_text())["fit"]["last"] for run in ("two", "one"))
    for name in ("train/accuracy", "test_each_epoch/accuracy", "test_each_epoch/top5_accuracy"):
        assert two[name] == one[name]
    for name in ("train/loss", "test_each_epoch/loss"):
        assert two[name] == pytest.approx(one[name], rel=1e-5)


def test_interrupted_training_continues_bit_for_bit(runs: Path) -> None:
    for group in compare_checkpoints(runs / "two" / LAST, runs / "two_to_two" / LAST):
        assert not group.different, f"{group.kind}: {group.different[0]}"


def test_two_processes_test_a_divided_head_as_one_does(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    test = ["test", "--config=two", "--trainer.enable_progress_bar=false"]
    alone = [*test, "--trainer.devices=1", "--trainer.strategy=auto"]  # the run's config names two processes
    tested = []
    for run in (lambda: commands.main(alone), lambda: sbn_on_two(*test, strategy=STRATEGY)):
        run()
        with np.load("two/test.npz") as record:
            tested.append((read_results(Path("two")).evaluations["test"].correct, dict(record)))
    (one, arrays), (two, arrays_of_two) = tested
    assert two == one
    for name in ("class_weight_norm", "effective_class_weight_norm"):
        np.testing.assert_allclose(arrays_of_two[name], arrays[name], rtol=1e-6)
    np.testing.assert_allclose(arrays_of_two["logits"], arrays["logits"], rtol=1e-3, atol=1e-3)  # float16


def test_accuracy_within_a_training_is_that_of_its_checkpoint(
    tmp_path: Path, digits_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where processes have running statistics of their own, those of the first are evaluated, and stored."""
    monkeypatch.chdir(tmp_path)
    network = ["--model.backbone=SmallCNN", "--model.backbone.width=4"]
    sbn_on_two(*FIT, f"--data.root={digits_root}", *network, "--run_dir=run", strategy=STRATEGY)
    commands.main(["test", "--config=run", "--trainer.devices=1", "--trainer.strategy=auto"])
    results = json.loads(Path("run/results.json").read_text())
    within, tested = results["fit"]["last"], results["evaluations"]["test"]["metrics"]
    for name in ("loss", "calibration_error", "accuracy"):
        assert within[f"test_each_epoch/{name}"] == pytest.approx(tested[name], rel=1e-6)
