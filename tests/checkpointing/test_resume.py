"""A training that was interrupted ends as if it had not been: weights, states, metrics, events."""

import json
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import own_classes
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from sbn_lightning import Digits
from sbn_lightning.checkpointing.save import RunCheckpoint
from sbn_lightning.checkpointing.verify import compare_checkpoints
from sbn_lightning.cli import commands
from sbn_lightning.run import files

Fit = Callable[..., Path]
INTERRUPT = ["--trainer.callbacks+=own_classes.Interrupt"]
EVERY_5 = ["--checkpoint.every_n_steps=5"]
TERM, USR1, INT = (int(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT))


def at(step: int, **settings: object) -> list[str]:
    """The options that interrupt a training at a step."""
    settings = {"step": step} | settings
    return [*INTERRUPT, *(f"--trainer.callbacks.{name}={value}" for name, value in settings.items())]


@pytest.fixture(autouse=True)
def event_files_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard reads a folder's files by name, which ends in their number in this process: 10 comes before 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


@pytest.fixture
def fit(fit_digits: Fit) -> Fit:
    """Train a net with dropout and batch normalization for two epochs of 12 steps; 3 batches in a validation."""
    return lambda *options, **run_dir: fit_digits("--model.backbone=own_classes.DropoutCNN", *options, **run_dir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, digits_root: Path) -> Iterator[Path]:
    """The same training without interruption."""
    run = tmp_path_factory.mktemp("whole") / "run"
    commands.main(
        [
            "fit", "--config", "digits_sbn", f"--data.root={digits_root}", f"--run_dir={run}", "--trainer.max_epochs=2",
            "--model.backbone=own_classes.DropoutCNN", "--trainer.enable_progress_bar=false",
        ]
    )  # fmt: skip
    return run


def last(run: Path) -> Path:
    return run / "checkpoints/last.ckpt"


def points(run: Path) -> dict[str, list[tuple[int, float]]]:
    """{tag: (step, value) of each point} as TensorBoard shows them."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


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
    with pytest.raises(own_classes.InterruptionError):
        fit(*EVERY_5, *at(step))
    run = fit(*EVERY_5, "--ckpt_path=last")
    assert f"checkpoints/last.ckpt, after step {continues_from}\n" in capsys.readouterr().out
    assert_same_training(run, whole)


def test_checkpoint_and_manifest_are_read_once(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(own_classes.InterruptionError):
        fit(*EVERY_5, *at(8))
    load, check, calls = torch.load, zipfile.ZipFile.testzip, []
    monkeypatch.setattr(torch, "load", lambda *files, **how: calls.append("load") or load(*files, **how))
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda archive: calls.append("checksums") or check(archive))
    read_bytes, read = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda file: read.append(file.name) or read_bytes(file))
    fit(*EVERY_5, "--ckpt_path=last")
    assert calls == ["checksums", "load"]
    assert read.count("manifest.json") == 1


@pytest.mark.parametrize("number", [TERM, USR1, INT])
def test_signal_saves_after_the_step_and_exits_with_128_and_its_number(
    number: int, fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as end:
        fit(*at(7, signal=number))
    assert end.value.code == 128 + number
    assert signal.getsignal(number) is before
    said = capsys.readouterr().out
    assert f"Stopped by {signal.Signals(number).name} after step 7; saved" in said
    assert "--ckpt_path last" in said
    assert_same_training(fit("--auto_resume=true"), whole)


def test_signal_in_a_validation_is_obeyed_when_the_validation_has_ended(fit: Fit, whole: Path) -> None:
    with pytest.raises(SystemExit) as end:
        fit(*at(12, signal=TERM, hook="on_validation_batch_end"))
    assert end.value.code == 143
    run = fit("--ckpt_path=last")
    assert_same_training(run, whole)


def test_signal_before_training_ends_it_at_once(fit: Fit) -> None:
    with pytest.raises(SystemExit) as end:
        fit(*at(0, signal=TERM, hook="on_fit_start"))
    assert end.value.code == 143
    assert not Path("run/checkpoints").exists()


def test_further_signals_while_saving_do_no_harm(fit: Fit, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = RunCheckpoint._save

    def interrupted_save(self: RunCheckpoint, trainer: object) -> None:
        signal.raise_signal(INT)
        save(self, trainer)
        signal.raise_signal(INT)

    monkeypatch.setattr(RunCheckpoint, "_save", interrupted_save)
    with pytest.raises(SystemExit) as end:
        fit(*at(7, signal=TERM))
    monkeypatch.setattr(RunCheckpoint, "_save", save)
    assert end.value.code == 143
    assert_same_training(fit("--ckpt_path=last"), whole)


def test_cut_off_checkpoint_falls_back_to_the_one_before(
    fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(own_classes.InterruptionError):
        fit(*EVERY_5, *at(12))
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
    with pytest.raises(own_classes.InterruptionError):
        fit("--auto_resume=true", *EVERY_5, *at(8))
    run = fit("--auto_resume=true", *EVERY_5)
    assert_same_training(run, whole)
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as end:
        fit("--auto_resume=true")
    assert end.value.code == 0
    assert "trained for 2 epochs (24 steps)" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == kept


def test_run_killed_before_it_wrote_its_results_writes_them_when_continued(fit: Fit, whole: Path) -> None:
    run = Path(shutil.copytree(whole, "run"))
    results = json.loads((run / "results.json").read_text())
    del results["fit"]
    (run / "results.json").write_text(json.dumps(results))
    assert_same_training(fit("--ckpt_path=last"), whole)


def test_run_killed_before_its_first_checkpoint_starts_anew_without_doubled_points(fit: Fit, whole: Path) -> None:
    with pytest.raises(own_classes.InterruptionError):
        fit(*at(11))
    assert_same_training(fit(), whole)


def test_run_killed_before_it_linked_its_best_checkpoint_links_it_when_continued(fit: Fit) -> None:
    options = ["--data.validation_fraction=0.2", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=5"]
    run = fit(*options)
    (run / "results.json").unlink()
    (run / "checkpoints/best.ckpt").unlink()
    fit(*options, "--ckpt_path=last")
    assert (run / "checkpoints/best.ckpt").samefile(last(run))


def test_another_runs_checkpoint_does_not_write_over_a_run(
    fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(own_classes.InterruptionError):
        fit(*EVERY_5, *at(8))
    with pytest.raises(SystemExit):
        fit("--trainer.max_epochs=3", f"--ckpt_path={last(whole)}")
    assert f"run contains a different training run than {last(whole)}" in capsys.readouterr().err


def test_best_epoch_survives_a_resume_in_another_place(fit: Fit) -> None:
    options = ["--data.validation_fraction=0.2", "--trainer.log_every_n_steps=5"]
    expected = fit(*options, run_dir="expected")
    with pytest.raises(own_classes.InterruptionError):
        fit(*options, *at(13))
    Path("run").rename("moved")
    run = fit(*options, "--ckpt_path=last", run_dir="moved")
    assert_same_training(run, expected)
    for group in compare_checkpoints(expected / "checkpoints/best.ckpt", run / "checkpoints/best.ckpt"):
        assert not group.different, group.different


def test_changed_learning_rate_and_schedule_are_applied_and_printed(
    fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(whole, "run"))
    fit(
        "--ckpt_path=last", "--trainer.max_epochs=3", "--optimizer.lr=0.5", "--optimizer.weight_decay=0.25",
        "--lr_scheduler.milestones=[1, 3]",
    )  # fmt: skip
    said = capsys.readouterr().out
    for change in ("optimizer.lr 0.02 → 0.5", "weight_decay 0.0005 → 0.25", "milestones [15, 25] → [1, 3]", "2 → 3"):
        assert change in said
    stored = torch.load(last(run), weights_only=True)
    (group,) = stored["optimizer_states"][0]["param_groups"]
    assert group["weight_decay"] == 0.25
    assert group["lr"] == pytest.approx(0.5 * 0.1 * 0.1)  # behind both milestones after three epochs
    learning_rates = points(run)["lr-SGD"]
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
    option: str, difference: str, fit: Fit, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, "run")
    with pytest.raises(SystemExit) as end:
        fit("--ckpt_path=last", "--trainer.max_epochs=3", option)
    assert end.value.code == 2
    assert difference in capsys.readouterr().err


def test_training_on_other_images_is_refused_with_their_numbers(
    fit: Fit, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, "run")
    setup = Digits.setup

    def of_other_images(self: Digits, stage: str) -> None:
        setup(self, stage)
        self.num_images = {"train": 1000, "test": 360}

    monkeypatch.setattr(Digits, "setup", of_other_images)
    with pytest.raises(SystemExit) as end:
        fit("--ckpt_path=last", "--trainer.max_epochs=3")
    assert end.value.code == 2
    assert "train: 1,437 there, 1,000 here" in capsys.readouterr().err


def test_full_disk_stops_the_training_and_keeps_the_last_checkpoint(
    fit: Fit, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(own_classes.InterruptionError):
        fit(*EVERY_5, *at(8))
    kept = last(Path("run")).read_bytes()

    sync = files.os.fsync

    def full(handle: int) -> None:
        if ".ckpt" in Path(f"/proc/self/fd/{handle}").readlink().name:
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(SystemExit) as end:
        fit(*EVERY_5, "--ckpt_path=last")
    monkeypatch.setattr(files.os, "fsync", sync)
    assert end.value.code == 2
    assert "last.ckpt cannot be written ([Errno 28] No space left on device); the one before" in capsys.readouterr().err
    assert last(Path("run")).read_bytes() == kept
    assert {path.name for path in last(Path("run")).parent.iterdir()} == {"last.ckpt"}
    assert_same_training(fit(*EVERY_5, "--ckpt_path=last"), whole)
