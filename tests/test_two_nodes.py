"""One training over two machines, started by torchrun on each: here two launchers on this machine."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processes import end, free_port, start


def test_two_nodes_train_as_one_process_does(sbn: Callable[..., None], digits_root: Path) -> None:
    fit = [
        "fit", "--config", "digits_sbn", f"--data.root={digits_root}", "--model.backbone=own_classes.PlainCNN",
        "--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.devices=1",
        "--trainer.enable_progress_bar=false",
    ]  # fmt: skip
    sbn(*fit, "--run_dir=one")
    launcher = ["torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", f"--master_port={free_port()}"]
    launcher += ["--master_addr=127.0.0.1"]
    nodes = ["--trainer.num_nodes=2", "--trainer.strategy=ddp", "--run_dir=two"]
    processes = [start(*launcher, f"--node_rank={rank}", "-m", "sbn_lightning", *fit, *nodes) for rank in range(2)]
    (code, said), (other_code, said_by_other) = (end(process) for process in processes)
    assert (code, other_code) == (0, 0), said + said_by_other
    assert "128 images in total, 64 on each of 2 cpu devices" in said

    one, two = (json.loads(Path(run, "results.json").read_text())["fit"]["last"] for run in ("one", "two"))
    for name in ("train/accuracy", "test_each_epoch/accuracy"):  # exact counts: each image once
        assert two[name] == one[name]
    assert two["train/loss"] == pytest.approx(one["train/loss"], rel=1e-5)
    files = (f"{run}/checkpoints/last.ckpt" for run in ("one", "two"))
    ours, theirs = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)  # 12 steps, summed in another order
