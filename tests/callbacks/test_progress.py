"""What is seen while a training, test or prediction runs: on a terminal of 80 columns, and in the log of a job."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from sbn_lightning.callbacks import progress, status
from sbn_lightning.callbacks.status import memory_text, speed_text
from tests.screen import screen

WIDTH = 80
EPOCH = re.compile(
    r"Epoch (\d)/(\d)  loss \d\.\d{4}  accuracy train \d\.\d{4}(, (test|val) \d\.\d{4})?  (lr 0.02  [\d.]+ s)?.*"
)


class Speaks(Callback):
    """Prints within an epoch, as callbacks do."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 3:
            print("a callback speaks")


@contextmanager
def terminal(**settings: Any) -> Iterator[io.StringIO]:
    """The standard output is a terminal of 80 columns, whose bar is drawn often."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as written:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", str(WIDTH))
        console = Console(width=WIDTH, force_terminal=True, color_system=None)
        patch.setattr(progress, "get_console", lambda: console)
        patch.setattr(progress, "REFRESH_RATE", 100)
        for name, value in settings.items():
            patch.setattr(status if name == "SHORT" else progress, name, value)
        yield written


@pytest.fixture(scope="module")
def watched(train_digits: Callable[..., Path]) -> tuple[Path, list[str], list[str]]:
    """A run of three epochs; the lines that it left on the terminal, and the bars that it showed."""
    with terminal(LINE_EVERY=0, SHORT=0) as written:
        run = train_digits(
            "--trainer.enable_progress_bar=true", f"--trainer.callbacks+={__name__}.Speaks", "--trainer.max_epochs=3",
            "--data.batch_size=32", "--data.evaluation_batch_size=8", "--trainer.log_every_n_steps=5",
        )  # fmt: skip
    return run, *screen(written.getvalue())


def test_bar_of_a_training_says_what_is_left_and_fits(watched: tuple[Path, list[str], list[str]]) -> None:
    _, _, bars = watched
    assert {len(bar) for bar in bars} == {WIDTH - 1}
    assert [name for name in dict.fromkeys(bar[:9] for bar in bars) if name[0] == "E"] == [
        f"Epoch {number}/3" for number in (1, 2, 3)
    ]
    whole = re.compile(r"Epoch 2/3  ━.* s left  loss \d\.\d{4}  test \d\.\d{4}  \d+ s left in all *")
    assert any(whole.fullmatch(bar) for bar in bars)
    assert not any("it/s" in bar or "0.00" in bar.replace("loss 0.00", "") for bar in bars)


@pytest.mark.parametrize(("seconds", "readings"), [(0.0, 12), (3600.0, 1)])
def test_loss_of_the_bar_is_read_after_some_seconds_where_few_steps_are_logged(
    seconds: float, readings: int, train_digits: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(status.Status, "read", lambda self, trainer, module: read.append(trainer.global_step))
    with terminal(READ_EVERY=seconds):
        train_digits("--trainer.enable_progress_bar=true", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=100")
    assert len(read) == readings


def test_bar_of_a_validation_counts_images(watched: tuple[Path, list[str], list[str]]) -> None:
    validations = [bar for bar in watched[2] if bar.startswith("Test ")]
    assert any(re.search(r"  ━+.* (\d+)/360 images  [\d,]+ images/s", bar) for bar in validations), validations


def test_each_epoch_leaves_a_line_and_the_summary_is_read_last(watched: tuple[Path, list[str], list[str]]) -> None:
    _, lines, _ = watched
    epochs = [EPOCH.fullmatch(line) for line in lines if line.startswith("Epoch ")]
    assert [(match[1], match[2], match[4]) for match in epochs if match] == [(n, "3", "test") for n in "123"]
    assert not any("━" in line for line in lines)
    assert lines.count("a callback speaks") == 3
    (trained,) = (number for number, line in enumerate(lines) if line.startswith("Trained "))
    assert not any(line.startswith("Epoch ") for line in lines[trained:])
    assert all(len(line) <= WIDTH for line in lines if line.startswith("Epoch "))


def test_bar_of_a_test_is_gone_when_the_result_is_printed(
    watched: tuple[Path, list[str], list[str]], sbn: Callable[..., None]
) -> None:
    with terminal() as written:
        sbn("test", "--config", watched[0])
        sbn("predict", "--config", watched[0])
    lines, bars = screen(written.getvalue())
    assert {bar.split("  ")[0] for bar in bars} == {"Test", "Prediction"}
    assert not any("━" in line for line in lines)
    assert any(line.startswith("Result ") for line in lines)


def test_training_that_is_continued_within_an_epoch_goes_on_there(train_digits: Callable[..., Path]) -> None:
    shown = ["--trainer.enable_progress_bar=true", "--trainer.max_epochs=3"]
    with terminal(LINE_EVERY=0) as written:
        run = train_digits(*shown, "--trainer.max_steps=18")
    lines, _ = screen(written.getvalue())
    last = [line for line in lines if line.startswith("Epoch ")][-1]
    assert re.fullmatch(r"Epoch 2/2  loss \S+  accuracy train 0\.\d{4}  lr 0\.02  \S+ s", last)
    with terminal(LINE_EVERY=0) as written:
        train_digits(*shown, "--ckpt_path=last", run_dir=run)
    lines, bars = screen(written.getvalue())
    assert [line[:9] for line in lines if line.startswith("Epoch ")] == ["Epoch 2/3", "Epoch 3/3"]
    assert "  test 0." in bars[0]  # of the validation at the first start's end
    done = bars[0].count("━") + bars[0].count("╸")
    assert done >= 0.4 * len(re.split("  (?=test)", bars[0])[0].removeprefix("Epoch 2/3  "))


@pytest.fixture(scope="module")
def log(train_digits: Callable[..., Path]) -> str:
    """What a training of four epochs and one more, to average the weights, says without a terminal."""
    with redirect_stdout(io.StringIO()) as written:
        train_digits(
            "--trainer.enable_progress_bar=true", "--trainer.max_epochs=4", "--data.validation_fraction=0.2",
            "--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01",
            "--trainer.check_val_every_n_epoch=2",
        )  # fmt: skip
    return written.getvalue()


def test_log_of_short_epochs_has_the_first_and_the_last(log: str) -> None:
    lines = [line for line in log.splitlines() if line.startswith(("Epoch ", "Averaging"))]
    assert [line.split("  ")[0] for line in lines] == ["Epoch 1/4", "Averaging"]
    assert re.fullmatch(
        r"Epoch 1/4  loss \d\.\d{4}  accuracy train 0\.\d{4}  lr 0\.02  [\d.]+ s  \d+ s left in all", lines[0]
    )
    assert "\x1b" not in log


def test_training_that_may_stop_early_is_told_what_is_left_at_most(train_digits: Callable[..., Path]) -> None:
    with redirect_stdout(io.StringIO()) as written:
        train_digits(
            "--trainer.enable_progress_bar=true", "--trainer.max_epochs=2", "--trainer.callbacks+=EarlyStopping",
            "--trainer.callbacks.monitor=train/loss",
        )  # fmt: skip
    first, last = [line for line in written.getvalue().splitlines() if line.startswith("Epoch ")]
    assert re.search(r" s  ≤ \d+ s left in all$", first)
    assert "left" not in last


def test_long_epoch_says_where_it_is_without_a_terminal(
    fit_digits: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SILENT_FOR", 0)
    fit_digits("--trainer.enable_progress_bar", "true", "--trainer.max_epochs", "1")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Epoch ")]
    assert re.fullmatch(r"Epoch 1/1  8% done  loss \d\.\d{4}", lines[0])  # the first batch says little about others
    assert re.fullmatch(r"Epoch 1/1  17% done  loss \d\.\d{4}  \d+ s left in all", lines[1])


def test_without_a_progress_bar_nothing_is_shown(fit_digits: Callable[..., Path]) -> None:
    with terminal() as written:
        fit_digits("--trainer.max_epochs", "1")
    lines, bars = screen(written.getvalue())
    assert not bars
    assert not any(line.startswith("Epoch ") for line in lines)


def test_memory_of_a_gpu_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3_210_000_000)
    assert memory_text(torch.device("cuda", 0)) == "GPU 3.2 GB"
    assert memory_text(torch.device("cpu")) == ""


def test_speed_is_never_shown_as_nothing() -> None:
    assert [speed_text(speed) for speed in (0.0123, 1.94, 12345.6)] == [
        "0.012 images/s", "1.9 images/s", "12,346 images/s"
    ]  # fmt: skip


def test_screen_knows_lines_that_are_erased() -> None:
    assert screen("\x1b[1ma\x1b[0m\nbar 1\r\x1b[2Kprinted\nbar 2\n\r\x1b[1A\x1b[2Kend") == (
        ["a", "printed", "end", ""], ["bar 1", "bar 2"]
    )  # fmt: skip
