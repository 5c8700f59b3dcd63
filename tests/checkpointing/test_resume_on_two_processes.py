"""Two processes: a kill of one, a signal to one; both end, and the run continues bit for bit."""

import signal
from collections.abc import Callable
from pathlib import Path

from processes import TWO, end, sbn_on_two, start

from sbn_lightning.checkpointing.verify import compare_checkpoints


def at(step: int, number: int, hook: str) -> list[str]:
    """The options that send the second process a signal at a step."""
    settings = {"step": step, "signal": int(number), "hook": hook, "rank": 1}
    options = [f"--trainer.callbacks.{name}={value}" for name, value in settings.items()]
    return ["--trainer.callbacks+=own_classes.Interrupt", *options]


def test_killed_and_stopped_training_continues_bit_for_bit(sbn: Callable[..., None], digits_root: Path) -> None:
    fit = [
        "fit", "--config", "digits_sbn", f"--data.root={digits_root}", "--model.backbone=own_classes.DropoutCNN",
        "--trainer.max_epochs=2", "--data.batch_size=120", "--trainer.enable_progress_bar=false", "--auto_resume=true",
    ]  # fmt: skip
    sbn_on_two(*fit, "--run_dir=whole")

    kill = at(8, signal.SIGKILL, "on_train_batch_end")
    code, said = end(start("sbn_lightning", *fit, *TWO, "--run_dir=run", "--checkpoint.every_n_steps=5", *kill))
    assert code != 0, said

    # In the validation after the first epoch, to one process only; its loader holds as many batches as the other's.
    stop = at(12, signal.SIGTERM, "on_validation_batch_end")
    code, said = end(start("sbn_lightning", *fit, *TWO, "--run_dir=run", *stop))
    assert code == 143, said
    assert "after step 5\n" in said
    assert said.count("\nStopped     by SIGTERM after step 12; saved") == 1

    sbn_on_two(*fit, "--run_dir=run")
    for group in compare_checkpoints(Path("whole/checkpoints/last.ckpt"), Path("run/checkpoints/last.ckpt")):
        assert not group.different, f"{group.kind}: {group.different[0]}"
