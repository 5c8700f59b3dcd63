"""A training that was interrupted ends as if it had not been: weights, states, metrics, events."""

import json
import os
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path

import own_classes
import pytest
import torch
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from tensorboard.util.tensor_util import make_ndarray

from sbn_lightning import Digits
from sbn_lightning.checkpointing.save import RunCheckpoint
from sbn_lightning.checkpointing.stop_signals import signal_name
from sbn_lightning.checkpointing.verify import compare_checkpoints

Fit = Callable[..., Path]
Answer = Callable[..., str]
EVERY_5 = ["--checkpoint.every_n_steps=5"]
HELD_OUT = ["--data.validation_fraction=0.2", "--trainer.log_every_n_steps=5"]
TERM, USR1, INT = (int(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT))
STEP = "on_train_batch_end"


def at(step: int, **settings: object) -> list[str]:
    """The options that interrupt a training at a step."""
    settings = {"step": step} | settings
    options = [f"--trainer.callbacks.{name}={value}" for name, value in settings.items()]
    return ["--trainer.callbacks+=own_classes.Interrupt", *options]


@pytest.fixture(autouse=True)
def event_files_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard reads a folder's files by name, which ends in their number in this process: 10 comes before 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


@pytest.fixture
def fit(fit_digits: Fit) -> Fit:
    """Train a net with dropout and batch normalization for two epochs of 12 steps; 3 batches in a validation."""
    return lambda *options, **run_dir: fit_digits("--model.backbone=own_classes.DropoutCNN", *options, **run_dir)


@pytest.fixture(scope="module")
def whole(train_digits: Fit) -> Path:
    """The same training without interruption."""
    return train_digits("--model.backbone=own_classes.DropoutCNN")


@pytest.fixture
def copy(whole: Path, fit: Fit) -> Path:
    """A copy of it in the current folder."""
    return Path(shutil.copytree(whole, "run"))


def kill(fit: Fit, step: int, *options: str) -> None:
    """Train in the folder run, as if the process had been killed at a step."""
    with pytest.raises(own_classes.InterruptionError):
        fit(*options, *at(step))


def stop(fit: Fit, step: int, number: int, hook: str = STEP) -> None:
    """Train in the folder run until a signal comes at a step, and compare the exit code."""
    with pytest.raises(SystemExit) as end:
        fit(*at(step, signal=number, hook=hook))
    assert end.value.code == 128 + number


def last(run: Path) -> Path:
    return run / "checkpoints/last.ckpt"


def points(run: Path) -> dict[str, list[tuple[int, float]]]:
    """{tag: (step, value) of each point} as TensorBoard shows them."""
    events = EventAccumulator(str(run), size_guidance={"tensors": 0})
    events.Reload()
    scalars = [tag for tag in events.Tags()["tensors"] if plugin_of(events, tag) == "scalars" and "minutes" not in tag]
    return {tag: [(one.step, make_ndarray(one.tensor_proto).item()) for one in events.Tensors(tag)] for tag in scalars}


def plugin_of(events: EventAccumulator, tag: str) -> str:
    return events.SummaryMetadata(tag).plugin_data.plugin_name


def assert_same_training(run: Path, whole: Path) -> None:
    for group in compare_checkpoints(last(whole), last(run)):
        assert group.compared, group.kind
        assert not group.different, f"{group.kind}: {group.different[0]}"
    assert points(run) == points(whole)
    assert (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    ours, theirs = (json.loads((folder / "results.json").read_text())["fit"] for folder in (run, whole))
    assert (ours["last"], ours["epochs"]) == (theirs["last"], theirs["epochs"])


@pytest.mark.parametrize(
    ("step", "continues_from"), [(8, 5), (12, 10), (13, 12)], ids=["within an epoch", "before a validation", "after it"]
)
def test_interrupted_training_ends_like_an_uninterrupted_one(
    step: int, continues_from: int, fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(fit, step, *EVERY_5)
    run = fit(*EVERY_5, "--ckpt_path=last")
    assert f"checkpoints/last.ckpt, after step {continues_from}\n" in capsys.readouterr().out
    assert_same_training(run, whole)


def test_buffers_of_a_head_and_of_the_head_in_it_continue_too(fit: Fit) -> None:
    # Within the second epoch, for which the scale was set at its start, and the centers move in every step.
    options = ["--model.head=CenterLossHead", "--model.head.head=ScheduledScaleHead", "--model.head.head.scale=3"]
    whole = fit(*options, run_dir="whole")
    kill(fit, 18, *options, *EVERY_5)
    run = fit(*options, *EVERY_5, "--ckpt_path=last")
    assert_same_training(run, whole)
    weights = torch.load(last(run), weights_only=True)["state_dict"]
    assert weights["head.head.norm.scale"] == pytest.approx(0.45 + (3 - 0.45) / 30)
    assert (weights["head.centers"] != 0).all()


def test_checkpoint_is_read_once(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(fit, 8, *EVERY_5)
    load, check, calls = torch.load, zipfile.ZipFile.testzip, []
    monkeypatch.setattr(torch, "load", lambda *files, **how: calls.append("load") or load(*files, **how))
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda archive: calls.append("checksums") or check(archive))
    fit(*EVERY_5, "--ckpt_path=last")
    assert calls == ["checksums", "load"]


@pytest.mark.parametrize(
    ("number", "step", "hook"),
    [(TERM, 7, STEP), (USR1, 7, STEP), (INT, 7, STEP), (TERM, 12, "on_validation_batch_end")],
    ids=["SIGTERM", "SIGUSR1", "SIGINT", "in a validation, which is finished"],
)
def test_signal_saves_after_the_step_and_exits_with_128_and_its_number(
    number: int, step: int, hook: str, fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    stop(fit, step, number, hook=hook)
    assert signal.getsignal(number) is before
    said = capsys.readouterr().out
    part = "step" if hook == STEP else "validation"
    answer, end = (
        said.index(f"\n{signal_name(number):<12}stopping after this {part}, then saving\n"),
        said.index("\nStopped "),
    )
    assert answer < end
    assert said[end:].startswith(f"\nStopped     by {signal_name(number)} after step {step}; saved")
    assert "\nContinue    with the same command and --ckpt_path last\n" in said
    assert_same_training(fit("--auto_resume=true"), whole)


def test_signal_before_training_ends_it_at_once(fit: Fit) -> None:
    stop(fit, 0, TERM, hook="on_fit_start")
    assert not Path("run/checkpoints").exists()


def test_further_signals_while_saving_do_no_harm(fit: Fit, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = RunCheckpoint._save

    def interrupted_save(self: RunCheckpoint, trainer: object) -> None:
        signal.raise_signal(INT)
        save(self, trainer)
        signal.raise_signal(INT)

    with monkeypatch.context() as patch:
        patch.setattr(RunCheckpoint, "_save", interrupted_save)
        stop(fit, 7, TERM)
    assert_same_training(fit("--ckpt_path=last"), whole)


def test_cut_off_checkpoint_falls_back_to_the_one_before(
    fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(fit, 12, *EVERY_5)
    content = last(Path("run")).read_bytes()
    last(Path("run")).write_bytes(content[: len(content) // 2])
    run = fit(*EVERY_5, "--ckpt_path=last")
    said = capsys.readouterr()
    assert "last.ckpt was damaged; training continues from previous.ckpt" in said.err
    assert "after step 5\n" in said.out
    assert_same_training(run, whole)


def test_auto_resume_starts_continues_and_then_leaves_a_finished_run_alone(
    fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(fit, 8, "--auto_resume=true", *EVERY_5)
    run = fit("--auto_resume=true", *EVERY_5)
    assert_same_training(run, whole)
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as end:
        fit("--auto_resume=true")
    assert end.value.code == 0
    assert "trained for 2 epochs (24 steps)" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == kept


def test_run_killed_before_it_wrote_its_results_writes_them_when_continued(fit: Fit, copy: Path, whole: Path) -> None:
    results = json.loads((copy / "results.json").read_text())
    del results["fit"]
    (copy / "results.json").write_text(json.dumps(results))
    assert_same_training(fit("--ckpt_path=last"), whole)


def test_run_killed_before_its_first_checkpoint_starts_again_without_doubled_points(fit: Fit, whole: Path) -> None:
    kill(fit, 11)
    assert_same_training(fit(), whole)


def test_run_killed_before_it_linked_its_best_checkpoint_links_it_when_continued(fit: Fit) -> None:
    run = fit(*HELD_OUT, "--trainer.max_epochs=1")
    (run / "results.json").unlink()
    (run / "checkpoints/best.ckpt").unlink()
    fit(*HELD_OUT, "--trainer.max_epochs=1", "--ckpt_path=last")
    assert (run / "checkpoints/best.ckpt").samefile(last(run))


def test_another_runs_checkpoint_does_not_write_over_a_run(copy: Path, whole: Path, answer: Answer) -> None:
    said = answer("fit", "--config", "digits_sbn", "--run_dir", copy, "--ckpt_path", last(whole))
    assert f"run contains a different training run than {last(whole)}" in said


def test_best_epoch_survives_a_resume_in_another_place(fit: Fit) -> None:
    expected = fit(*HELD_OUT, run_dir="expected")
    kill(fit, 13, *HELD_OUT)
    Path("run").rename("moved")
    run = fit(*HELD_OUT, "--ckpt_path=last", run_dir="moved")
    assert_same_training(run, expected)
    for group in compare_checkpoints(expected / "checkpoints/best.ckpt", run / "checkpoints/best.ckpt"):
        assert not group.different, group.different


def test_changed_learning_rate_and_schedule_are_applied_and_printed(
    fit: Fit, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(
        "--ckpt_path=last", "--trainer.max_epochs=3", "--optimizer.lr=0.5", "--optimizer.weight_decay=0.25",
        "--lr_scheduler.milestones=[1, 3]", "--data.evaluation_batch_size=50",
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "evaluation_batch_size" not in said  # which is no change of the training
    for change in ("optimizer.lr 0.02 → 0.5", "weight_decay 0.0005 → 0.25", "milestones [15, 25] → [1, 3]", "2 → 3"):
        assert change in said
    stored = torch.load(last(copy), weights_only=True)
    (group,) = stored["optimizer_states"][0]["param_groups"]
    assert group["weight_decay"] == 0.25
    assert group["lr"] == pytest.approx(0.5 * 0.1 * 0.1)  # behind both milestones after three epochs
    learning_rates = points(copy)["11 Learning rate/SGD"]
    assert learning_rates[0] == (0, pytest.approx(0.02))  # the first run's
    assert learning_rates[-1][1] == pytest.approx(0.5 * 0.1)  # in the third epoch: behind the first milestone


@pytest.mark.parametrize(
    ("option", "difference"),
    [
        ("--data.batch_size=64", "data.batch_size is 128 there, 64 here"),
        ("--seed_everything=1", "data.seed is 0 there, 1 here"),
        ("--data.crop_padding=2", "data.crop_padding is 1 there, 2 here"),
        ("--optimizer=Adam", "optimizer.class_path is 'torch.optim.SGD' there, 'torch.optim.Adam' here"),
        ("--model.head.scale=2", "head.init_args.scale is 3.0 there, 2.0 here"),
    ],
)
def test_training_on_other_terms_is_refused_with_the_difference(
    option: str, difference: str, copy: Path, answer: Answer
) -> None:
    assert difference in answer("fit", "--config", copy, "--ckpt_path=last", "--trainer.max_epochs=3", option)


def test_training_on_other_images_is_refused_with_their_numbers(
    copy: Path, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Digits.setup

    def of_other_images(self: Digits, stage: str) -> None:
        setup(self, stage)
        self.num_images = {"train": 1000, "test": 360}

    monkeypatch.setattr(Digits, "setup", of_other_images)
    said = answer("fit", "--config", copy, "--ckpt_path=last", "--trainer.max_epochs=3")
    assert "train: 1,437 there, 1,000 here" in said


def test_full_disk_stops_the_training_and_keeps_the_last_checkpoint(
    fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(fit, 8, *EVERY_5)
    kept = last(Path("run")).read_bytes()
    sync = os.fsync

    def full(handle: int) -> None:
        if ".ckpt" in Path(f"/proc/self/fd/{handle}").readlink().name:
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SystemExit) as end:
            fit(*EVERY_5, "--ckpt_path=last")
    assert end.value.code == 2
    assert "last.ckpt cannot be written ([Errno 28] No space left on device); the one before" in capsys.readouterr().err
    assert last(Path("run")).read_bytes() == kept
    assert {path.name for path in last(Path("run")).parent.iterdir()} == {"last.ckpt"}
    assert_same_training(fit(*EVERY_5, "--ckpt_path=last"), whole)
