"""`sbn check-resume`: two trainings are compared bit for bit, and a difference is named."""

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from sbn_lightning.checkpointing import verify
from sbn_lightning.cli import commands

LAST_CKPT = "checkpoints/last.ckpt"


def test_check_resume_kills_a_real_process_and_finds_it_identical(
    sbn: Callable[..., None], digits_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = verify.train

    told: list[int] = []

    def start_only_what_is_killed(options: list[str], expected: int, on_step: Callable[[int], None]) -> None:
        train(options, expected, told.append) if expected else commands.main(
            ["fit", *options, "--trainer.enable_progress_bar=false"]
        )

    monkeypatch.setattr(verify, "train", start_only_what_is_killed)
    monkeypatch.setenv("PYTHONPATH", f"{Path(commands.__file__).parent.parent.parent}:{Path(__file__).parent.parent}")
    options = ["--config", "digits_a_softmax", f"--data.root={digits_root}"]
    options += ["--model.backbone=own_classes.DropoutCNN"]
    options += [
        "--trainer.callbacks+=ModelCheckpoint",
        "--trainer.callbacks.monitor=train/loss",
    ]  # remembers its folder
    commands.main(["check-resume", *options, "--steps", "7", "--trainer.accelerator=cpu"])
    said = capsys.readouterr().out
    assert "Identical: a killed training continues bit for bit here." in said
    assert "weights" in said
    assert told[0] == 1
    assert told == sorted(set(told))
    assert told[-1] <= 8
    assert list(Path().iterdir()) == []


def test_check_resume_names_the_first_difference_and_exits_with_1(
    train_digits: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = train_digits("--trainer.max_epochs=1")

    def other(options: list[str], expected: int, on_step: Callable[[int], None]) -> None:
        on_step(3)
        (run,) = (option.partition("=")[2] for option in options if option.startswith("--run_dir"))
        if not Path(run).exists():
            shutil.copytree(trained, run)
        elif expected == 0:
            stored = torch.load(Path(run) / LAST_CKPT, weights_only=True)
            stored["state_dict"]["head.linear.weight"][0, 0] += 0.5
            torch.save(stored, Path(run) / LAST_CKPT)

    monkeypatch.setattr(verify, "train", other)
    with pytest.raises(SystemExit) as end:
        commands.main(["check-resume", "--config", "digits_sbn"])
    assert end.value.code == 1
    said = capsys.readouterr().out
    phases = "Training 40 steps without interruption", "Training 20 steps, and kill -9 in the next one"
    assert "\n".join([*phases, "Continuing from step 20 to 40", "", ""]) in said  # and no noise
    assert "1, the first head.linear.weight: up to 0.5" in said
    assert "--trainer.deterministic true" in said


def test_terminal_shows_how_far_a_phase_is() -> None:
    console = Console(file=(stream := io.StringIO()), force_terminal=True, width=80, color_system=None)
    with (
        verify.phases(console) as phase,
        phase("Training 10,000 steps, and kill -9 in the next one", 10_001) as on_step,
    ):
        assert "starting" in stream.getvalue()
        on_step(250)
    text = stream.getvalue()
    assert "250 of 10001" in text
    assert "done" in text
    assert max(len(line) for line in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "\n", text).splitlines()) <= 80


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--steps", "0", "--config", "digits_sbn"], "--steps is 0"),
        ([], "name a config"),
        (["--config", "digits_sbn", "--run_dir", "y"], "sets --run_dir itself"),
    ],
)
def test_check_resume_refuses_what_it_cannot_do(options: list[str], reason: str, answer: Callable[..., str]) -> None:
    assert reason in answer("check-resume", *options)
