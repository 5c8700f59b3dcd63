"""Checkpoints of any content through `sbn test` and `sbn fit`: taken, or refused in one line."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sbn_lightning.cli import commands

FEW = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", autouse=True)
def checkpoint(train_digits: Callable[..., Path]) -> Iterator[bytes]:
    """That of a short training, in the current folder."""
    run = train_digits("--trainer.max_epochs=1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run.parent)
        yield (run / "checkpoints/last.ckpt").read_bytes()


def answer(content: bytes, command: str = "test", *options: str) -> int:
    """The exit code of a command on a file of this content; 2 comes with one line."""
    Path("any.ckpt").write_bytes(content)
    said = io.StringIO()
    code = 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            commands.main([command, "--config", "run", "--ckpt_path", "any.ckpt", *options])
        except SystemExit as end:
            code = end.code
    lines = [line for line in said.getvalue().splitlines() if line.startswith("sbn: ")]
    assert len(lines) == (code == 2)
    assert all("any.ckpt" in line for line in lines)
    return code


def read(content: bytes) -> dict[str, Any]:
    return torch.load(io.BytesIO(content), weights_only=True)


def file_of(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@FEW
@given(content=st.binary(max_size=60) | st.sampled_from([[], {}, 3, "x", {"state_dict": None}, {"state_dict": {"a": 1}}, torch.zeros(2)]).map(file_of))  # fmt: skip  # noqa: E501
def test_other_files_are_refused(content: bytes, checkpoint: bytes) -> None:
    assert answer(content) == 2


@FEW
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_checkpoint_is_refused(share: float, checkpoint: bytes) -> None:
    assert answer(checkpoint[: int(share * len(checkpoint))]) == 2


@FEW
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_flipped_bit_is_refused_or_changes_no_weight(place: float, bit: int, checkpoint: bytes) -> None:
    flipped = bytearray(checkpoint)
    flipped[int(place * len(checkpoint))] ^= 1 << bit
    if answer(bytes(flipped)) == 0:  # padding, or a date
        for name, weight in read(checkpoint)["state_dict"].items():
            assert torch.equal(read(flipped)["state_dict"][name], weight)


PARTS = ["state_dict", "hyper_parameters", "callbacks", "loops", "epoch", "global_step", "pytorch-lightning_version",
         "optimizer_states", "lr_schedulers", "datamodule_hyper_parameters", "hparams_name"]  # fmt: skip


@FEW
@given(part=st.sampled_from(PARTS), value=st.sampled_from([None, [], {}, 3, -1, "x", {"a": {"b": 1}}, ["x"]]))
@example(part="callbacks", value={"RunSummary": None})
@example(part="state_dict", value={})
@example(part="hyper_parameters", value={"head": 3})
def test_other_parts_are_refused_or_ignored(part: str, value: Any, checkpoint: bytes) -> None:
    assert answer(file_of(read(checkpoint) | {part: value})) in (0, 2)


@pytest.mark.parametrize("part", PARTS[:7])
def test_missing_parts_are_refused_or_not_needed(part: str, checkpoint: bytes) -> None:
    stored = read(checkpoint)
    del stored[part]
    assert answer(file_of(stored)) in (0, 2)


UNFIT = {
    "no step": lambda stored: stored.pop("global_step"),
    "no epochs": lambda stored: stored["loops"]["fit_loop"]["epoch_progress"]["current"].update(processed="x"),
    "no loops": lambda stored: stored.pop("loops"),
    "settings in a list": lambda stored: stored.update(run=[]),
    "settings in a number": lambda stored: stored["run"].update(settings=3),
    "images in a number": lambda stored: stored["run"].update(images=3),
    "processes in a dict": lambda stored: stored.update(processes={}),
    "process without a state": lambda stored: stored.update(processes=[{}]),
    "metrics in a list": lambda stored: stored.update(callback_metrics=[]),
}


@pytest.mark.parametrize("change", UNFIT.values(), ids=UNFIT)
def test_training_is_not_continued_from_what_is_not_its_state(
    change: Callable[[dict[str, Any]], object], checkpoint: bytes
) -> None:
    stored = read(checkpoint)
    change(stored)
    assert answer(file_of(stored), "fit", "--run_dir", "continued", "--trainer.max_epochs", "2") == 2
