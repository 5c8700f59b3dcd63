"""Two processes: a kill of one, a signal to one; both end, and the run continues bit for bit."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from sbn_lightning.checkpointing.verify import compare_checkpoints

TESTS = Path(__file__).parent.parent


def fit(run_dir: Path, root: Path, *options: str) -> tuple[int, str]:
    """Exit code and output of a training of 24 steps on two processes."""
    command = [
        sys.executable, "-m", "sbn_lightning", "fit", "--config", "digits_sbn", f"--data.root={root}",
        f"--run_dir={run_dir}", "--model.backbone=own_classes.DropoutCNN", "--trainer.accelerator=cpu",
        "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_epochs=2", "--data.batch_size=120",
        "--trainer.enable_progress_bar=false", "--auto_resume=true", *options,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}:{TESTS}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=150)  # returns when the second process has ended too: it has the pipe
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def test_killed_and_stopped_training_continues_bit_for_bit(tmp_path: Path, digits_root: Path) -> None:
    interrupt = "--trainer.callbacks+=own_classes.Interrupt"
    whole, run = tmp_path / "whole", tmp_path / "run"
    code, said = fit(whole, digits_root)
    assert code == 0, said

    kill = ["--trainer.callbacks.step=8", f"--trainer.callbacks.signal={int(signal.SIGKILL)}"]
    code, said = fit(run, digits_root, "--checkpoint.every_n_steps=5", interrupt, *kill, "--trainer.callbacks.rank=1")
    assert code != 0, said

    # In the validation after the first epoch, to one process only; its loader holds as many batches as the other's.
    stop = ["--trainer.callbacks.step=12", f"--trainer.callbacks.signal={int(signal.SIGTERM)}"]
    stop += ["--trainer.callbacks.hook=on_validation_batch_end", "--trainer.callbacks.rank=1"]
    code, said = fit(run, digits_root, interrupt, *stop)
    assert code == 143, said
    assert "after step 5\n" in said
    assert said.count("Stopped by SIGTERM after step 12; saved") == 1

    code, said = fit(run, digits_root)
    assert code == 0, said
    for group in compare_checkpoints(whole / "checkpoints/last.ckpt", run / "checkpoints/last.ckpt"):
        assert not group.different, f"{group.kind}: {group.different[0]}"
