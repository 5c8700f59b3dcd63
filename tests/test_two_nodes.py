"""One training over two machines, started by torchrun on each: here two launchers on this machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
FIT = [
    "fit", "--config", "digits_sbn", "--model.backbone", "own_classes.PlainCNN", "--trainer.max_epochs", "1",
    "--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.enable_progress_bar", "false",
]  # fmt: skip
NODES = ["--trainer.num_nodes", "2", "--trainer.strategy", "ddp"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(folder: Path, *command: str) -> "subprocess.Popen[str]":
    """A command of Python's, in a process group of its own."""
    environment = os.environ | {"PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *command], cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_two_nodes_train_as_one_process_does(tmp_path: Path, digits_root: Path) -> None:
    port = free_port()
    data = ["--data.root", str(digits_root)]
    launchers = [
        [
            "torch.distributed.run", "--nnodes", "2", "--node_rank", str(rank), "--nproc_per_node", "1",
            "--master_addr", "127.0.0.1", "--master_port", str(port), "-m", "sbn_lightning",
        ]
        for rank in range(2)
    ]  # fmt: skip
    processes = [start(tmp_path, *launcher, *FIT, *NODES, *data, "--run_dir", "two") for launcher in launchers]
    processes.append(start(tmp_path, "sbn_lightning", *FIT, *data, "--run_dir", "one"))
    try:
        outputs = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert "128 images in total, 64 on each of 2 cpu devices" in outputs[0]

    runs = [tmp_path / name for name in ("one", "two")]
    one, two = (json.loads((run / "results.json").read_text())["fit"]["last"] for run in runs)
    for name in ("train/accuracy", "test_each_epoch/accuracy"):  # exact counts: each image once
        assert two[name] == one[name]
    assert two["train/loss"] == pytest.approx(one["train/loss"], rel=1e-5)
    ours, theirs = (torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in runs)
    for name, weight in ours.items():
        torch.testing.assert_close(theirs[name], weight, rtol=1e-4, atol=1e-5)  # 12 steps, summed in another order
