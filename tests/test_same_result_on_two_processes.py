"""One process and two give the same result: real runs of the command, on gloo, with a backbone without batch norm."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import end, free_port, sbn_on_two, start

from sbn_lightning.run.records import read_results

Sbn = Callable[..., Any]


@pytest.fixture
def fit(digits_root: Path) -> list[str]:
    """A command of 12 steps an epoch: 11 batches of 128, then one of 29, which two processes share as 15 + 14."""
    return [
        "fit", "--config", "digits_sbn", f"--data.root={digits_root}", "--model.backbone=own_classes.PlainCNN",
        "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
    ]  # fmt: skip


def trained(run: str) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The weights of a run, and the values of its last epoch."""
    stored = torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)
    return stored["state_dict"], json.loads(Path(run, "results.json").read_text())["fit"]["last"]


def check_that_two_trained_like_one() -> None:
    (weights, last), (weights_of_two, last_of_two) = trained("one"), trained("two")
    # Summed in another order.
    torch.testing.assert_close(weights_of_two, weights, rtol=1e-4, atol=1e-5)
    for name in ("train/accuracy", "test_each_epoch/accuracy"):  # exact counts: each image once, none padded
        assert last_of_two[name] == last[name]
    for name in ("train/loss", "test_each_epoch/loss"):
        assert last_of_two[name] == pytest.approx(last[name], rel=1e-5)


@pytest.mark.parametrize("head", ["ScaledBatchNormHead", "PEDCCHead"])
def test_two_processes_follow_the_trajectory_of_one(head: str, sbn: Sbn, fit: list[str]) -> None:
    fit += [f"--model.head={head}", "--trainer.max_epochs=3"]
    sbn(*fit, "--run_dir=one")
    assert "128 images in total, 64 on each of 2 CPU processes" in sbn_on_two(*fit, "--run_dir=two")
    check_that_two_trained_like_one()


def test_two_nodes_train_as_one_process_does(sbn: Sbn, fit: list[str]) -> None:
    """Two machines, with torchrun started on each: here two launchers on this machine."""
    fit += ["--trainer.max_epochs=1", "--trainer.devices=1"]
    sbn(*fit, "--run_dir=one")
    launcher = ["torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", f"--master_port={free_port()}"]
    launcher += ["--master_addr=127.0.0.1"]
    nodes = ["--trainer.num_nodes=2", "--trainer.strategy=ddp", "--run_dir=two"]
    processes = [start(*launcher, f"--node_rank={rank}", "-m", "sbn_lightning", *fit, *nodes) for rank in range(2)]
    (code, said), (other_code, said_by_other) = (end(process) for process in processes)
    assert (code, other_code) == (0, 0), said + said_by_other
    assert "128 images in total, 64 on each of 2 CPU processes" in said
    check_that_two_trained_like_one()


def test_two_processes_test_every_image_once_and_count_as_one_does(fit_digits: Sbn, sbn: Sbn) -> None:
    """359 images, in batches of 90: one process has 180 of them, in 4 batches, the other 179."""
    run = fit_digits("--data", "own_classes.OddDigits")
    evaluated = []
    for test in (lambda *options: sbn(*options, "--trainer.accelerator=cpu"), sbn_on_two):
        size = "--data.evaluation_batch_size=90"
        test("test", "--config", "run", "--trainer.enable_progress_bar=false", size)
        with np.load(run / "test.npz") as record:
            evaluated.append((read_results(run).evaluations["test"], record["logits"], record["labels"]))
    (one, logits, labels), (two, logits_of_two, labels_of_two) = evaluated
    assert labels.tolist() == labels_of_two.tolist()
    assert logits.argmax(1).tolist() == logits_of_two.argmax(1).tolist()  # so the confusion counts are the same
    np.testing.assert_allclose(logits_of_two, logits, rtol=1e-3, atol=1e-3)  # batches of another size
    assert (two.images, two.correct) == (359, one.correct)
    for name in ("accuracy", "top5_accuracy", "balanced_accuracy", "macro_f1"):  # of counts
        assert two.metrics[name] == one.metrics[name], name
    assert two.metrics["calibration_error"] == pytest.approx(one.metrics["calibration_error"], rel=1e-5)
    assert two.metrics["loss"] == pytest.approx(one.metrics["loss"], rel=1e-6)
