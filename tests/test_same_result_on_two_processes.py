"""One process and two give the same result: real runs of the command, on gloo, with a backbone without batch norm."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

HEADS = ("ScaledBatchNormHead", "PEDCCHead")
HERE = Path(__file__).parent


def fit(folder: Path, root: Path, head: str, devices: int, *arguments: str) -> dict[str, Any]:
    """Train two epochs on the digits: 11 batches of 128, then one of 29, which two processes share as 15 + 14."""
    command = [
        str(Path(sys.executable).with_name("sbn")), "fit", "--config", "digits_sbn", "--data.root", str(root),
        "--run_dir", f"{head}_{devices}", "--model.backbone", "own_classes.PlainCNN", "--model.head", head,
        "--trainer.accelerator", "cpu", "--trainer.devices", str(devices), "--trainer.strategy",
        "ddp" if devices > 1 else "auto", "--trainer.max_epochs", "2", *arguments,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also the second process, should the two wait for each other
    assert process.returncode == 0, output
    run = folder / f"{head}_{devices}"
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
        # 24 steps of float32, summed in another order.
        torch.testing.assert_close(
            two["weights"][name], weight, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: n + text
        )
    for last in ("train/accuracy", "test_each_epoch/accuracy"):  # exact counts: each image once, none padded
        assert two["results"]["fit"]["last"][last] == one["results"]["fit"]["last"][last]
    for last in ("train/loss", "test_each_epoch/loss"):
        assert two["results"]["fit"]["last"][last] == pytest.approx(one["results"]["fit"]["last"][last], rel=1e-5)
