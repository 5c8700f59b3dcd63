"""One process and two give the same result: real runs of the command, on gloo, with a backbone without batch norm."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sbn_lightning.run.records import read_results

HEADS = ("ScaledBatchNormHead", "PEDCCHead")
HERE = Path(__file__).parent


def sbn(folder: Path, devices: int, *arguments: str) -> str:
    """Run the command on so many processes and give back what it said."""
    strategy = "ddp" if devices > 1 else "auto"
    command = [
        str(Path(sys.executable).with_name("sbn")), *arguments,
        "--trainer.accelerator", "cpu", "--trainer.devices", str(devices), "--trainer.strategy", strategy,
    ]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    }
    process = subprocess.Popen(
        command, cwd=folder, env=environment | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also the second process, should the two wait for each other
    assert process.returncode == 0, output
    return output


def fit(folder: Path, root: Path, head: str, devices: int) -> dict[str, Any]:
    """Train 60 steps, five epochs on the digits: 11 batches of 128, then one of 29, which two processes share as 15 +
    14."""
    run = folder / f"{head}_{devices}"
    output = sbn(
        folder, devices, "fit", "--config", "digits_sbn", "--data.root", str(root), "--run_dir", run.name,
        "--model.backbone", "own_classes.PlainCNN", "--model.head", head, "--trainer.max_epochs", "5",
    )  # fmt: skip
    return {
        "results": json.loads((run / "results.json").read_text()),
        "weights": torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"],
        "output": output,
    }


@pytest.mark.parametrize("head", HEADS)
def test_two_processes_follow_the_trajectory_of_one(head: str, tmp_path: Path, digits_root: Path) -> None:
    one, two = (fit(tmp_path, digits_root, head, devices) for devices in (1, 2))
    assert "128 images in total, 64 on each of 2 cpu devices" in two["output"]
    for name, weight in one["weights"].items():
        # 60 steps of float32, summed in another order.
        torch.testing.assert_close(
            two["weights"][name], weight, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: n + text
        )
    for last in ("train/accuracy", "test_each_epoch/accuracy"):  # exact counts: each image once, none padded
        assert two["results"]["fit"]["last"][last] == one["results"]["fit"]["last"][last]
    for last in ("train/loss", "test_each_epoch/loss"):
        assert two["results"]["fit"]["last"][last] == pytest.approx(one["results"]["fit"]["last"][last], rel=1e-5)


def test_two_processes_test_every_image_once_and_count_as_one_does(fit_digits: Callable[..., Path]) -> None:
    """359 images, in batches of 128: one process has 180 of them, the other 179."""
    run = fit_digits("--data", "own_classes.OddDigits")
    evaluated = {}
    for devices in (1, 2):
        sbn(run.parent, devices, "test", "--config", str(run))
        results = read_results(run).evaluations["test"]
        with np.load(run / "test.npz") as record:
            evaluated[devices] = results, record["logits"], record["labels"]
    (one, logits, labels), (two, logits_of_two, labels_of_two) = evaluated[1], evaluated[2]
    assert labels.tolist() == labels_of_two.tolist()
    assert logits.argmax(1).tolist() == logits_of_two.argmax(1).tolist()  # so the confusion counts are the same
    np.testing.assert_allclose(logits_of_two, logits, rtol=1e-3, atol=1e-3)  # float16, batches of another size
    assert (two.images, two.correct) == (359, one.correct)
    for name in ("accuracy", "top5_accuracy", "balanced_accuracy", "macro_f1"):  # of counts
        assert two.metrics[name] == one.metrics[name], name
    assert two.metrics["calibration_error"] == pytest.approx(one.metrics["calibration_error"], rel=1e-5)
    assert two.metrics["loss"] == pytest.approx(one.metrics["loss"], rel=1e-6)
