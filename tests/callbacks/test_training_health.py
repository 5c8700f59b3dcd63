import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from sbn_lightning.callbacks import ChanceLevel, DivergenceGuard
from sbn_lightning.callbacks.training_health import are_finite, highest_by_chance
from sbn_lightning.errors import DivergenceError
from sbn_lightning.run.records import read_results


def spoil_loss(classifier: nn.Module, call: int, value: float) -> None:
    """Let the loss of one call of training_step, counted from 1, be `value`, with finite gradients."""
    step, calls = classifier.training_step, iter(range(1, 1000))

    def spoiled(batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        outputs = step(batch, batch_idx)
        if next(calls) == call:
            outputs["loss"] = outputs["loss"] * 0 + value
        return outputs

    classifier.training_step = spoiled


def spoil_weight(classifier: nn.Module, call: int) -> None:
    """Let the gradient of one call of training_step, counted from 1, be infinite, with a finite loss."""
    calls = iter(range(1, 1000))
    classifier.head.linear.bias.register_hook(lambda gradient: gradient * (torch.inf if next(calls) == call else 1))


# Four batches an epoch, two epochs. Calls 6 and 3 are in the middle of an interval, 8 at an epoch's end.
@pytest.mark.parametrize("call", [1, 3, 6, 8])
@pytest.mark.parametrize("every", [1, 3, 4, 0])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_first_bad_step_is_named(fit, classifier, call, every, value):
    spoil_loss(classifier, call, value)
    with pytest.raises(DivergenceError, match=f"the loss of step {call} is NaN or infinite, at learning rate 0.5 "):
        fit(DivergenceGuard(), model=classifier, log_every_n_steps=every)


@pytest.mark.parametrize(("call", "step"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_step_counts_optimizer_steps_where_gradients_are_accumulated(fit, classifier, call, step):
    spoil_loss(classifier, call, float("nan"))
    with pytest.raises(DivergenceError, match=f"the loss of step {step} is NaN"):
        fit(DivergenceGuard(), model=classifier, accumulate_grad_batches=2)


def test_infinite_gradient_of_a_finite_loss_is_found_before_validation(fit, classifier, recorder):
    spoil_weight(classifier, 4)  # the epoch's last step: no loss of this epoch shows it
    with pytest.raises(DivergenceError, match="after step 4, a weight or a running estimate is NaN or infinite"):
        fit(DivergenceGuard(), recorder, model=classifier)
    assert not recorder.val


@pytest.mark.parametrize("spoil", [spoil_weight, lambda classifier, call: spoil_loss(classifier, call, torch.nan)])
def test_bad_state_is_not_saved_and_the_last_good_one_stays(fit, classifier, tmp_path, spoil):
    spoil(classifier, 3)
    checkpoints = tmp_path / "checkpoints"
    saving = ModelCheckpoint(checkpoints, filename="last", every_n_train_steps=1, enable_version_counter=False)
    with pytest.raises(DivergenceError, match=r"newest checkpoint is .*checkpoints/last\.ckpt, from before that\. "):
        fit(DivergenceGuard(), saving, model=classifier, enable_checkpointing=True)
    assert [path.name for path in checkpoints.iterdir()] == ["last.ckpt"]
    stored = torch.load(checkpoints / "last.ckpt", weights_only=True)
    assert stored["global_step"] == 2
    assert all(value.isfinite().all() for value in stored["state_dict"].values())


def test_buffer_that_is_infinite_from_the_start_is_left_alone(fit, classifier):
    classifier.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    fit(DivergenceGuard(), model=classifier)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_large_weights_are_not_taken_for_infinite_ones(dtype):
    largest = torch.full((3,), torch.finfo(dtype).max)
    assert are_finite([largest, torch.empty(0), torch.tensor(7)])
    assert not are_finite([largest, torch.tensor([1.0, torch.inf])])


def test_losses_are_read_at_logging_steps_only(fit, classifier, recorder):
    spoil_loss(classifier, 1, float("nan"))
    with pytest.raises(DivergenceError):
        fit(DivergenceGuard(), recorder, model=classifier, log_every_n_steps=3)
    assert len(recorder.train) == 2  # the third step's recorder was not reached


def test_losses_are_read_after_1000_steps_at_the_latest():
    strategy = SimpleNamespace(reduce=lambda value, reduce_op: value)
    trainer = SimpleNamespace(global_step=0, log_every_n_steps=0, strategy=strategy, is_global_zero=False)
    guard, outputs = DivergenceGuard(), {"loss": torch.tensor(torch.nan)}
    for _ in range(999):
        guard.on_train_batch_end(trainer, None, outputs)
    with pytest.raises(SystemExit):
        guard.on_train_batch_end(trainer, None, outputs)


def test_diverged_run_ends_with_3_and_leaves_readable_results(
    fit_digits: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as end:
        fit_digits("--model.head", "SoftmaxHead", "--optimizer.lr", "1e10")
    assert end.value.code == 3
    error = capsys.readouterr().err
    (text,) = [line for line in error.splitlines() if line.startswith("sbn: ")]
    # Which step it is depends on the processor's arithmetic; that the right one is named, the tests above show.
    assert re.search(r"the loss of step \d is NaN or infinite, at learning rate 1e\+10 with SoftmaxHead", text)
    for part in ("no checkpoint was written before", "--optimizer.lr 1e+09", "--trainer.gradient_clip_val 1"):
        assert part in text
    assert "Traceback" not in error
    results = read_results(tmp_path / "run")
    assert results.fit is None
    assert results.training.epochs == 2
    assert list(tmp_path.rglob("*.ckpt*")) == []


def test_diverged_continuation_names_and_keeps_the_checkpoint_it_came_from(
    fit_digits: Callable[..., Path], sbn: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    last = fit_digits() / "checkpoints/last.ckpt"
    kept = last.read_bytes()
    with pytest.raises(SystemExit) as end:
        sbn(
            "fit", "--config", "run", "--ckpt_path", "last", "--trainer.max_epochs", 4,
            "--trainer.callbacks+", "own_classes.NaNWeights",
        )  # fmt: skip
    assert end.value.code == 3
    assert "the newest checkpoint is run/checkpoints/last.ckpt, from before that" in capsys.readouterr().err
    assert last.read_bytes() == kept


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if line.startswith("Warning") and "guessing" in line]


def test_run_that_learns_nothing_is_warned_of_once_with_the_heads_advice(
    fit_digits: Callable[..., Path], sbn: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fit_digits(
        "--model.head", "AMSoftmaxHead", "--model.head.scale", "0.5", "--optimizer.lr", "0",
        "--trainer.max_epochs", "3", "--chance_level.epochs", "2",
    )  # fmt: skip
    (warning,) = warnings(capsys)
    assert "after 2 epochs is no better than guessing (0.1016). Scale 0.5 is small for 10 classes" in warning
    assert "--model.head.scale 4 allows 0.9" in warning
    sbn("fit", "--config", "run", "--ckpt_path", "last", "--trainer.max_epochs", 4)
    assert warnings(capsys) == []


def test_run_without_a_scale_to_blame_is_told_of_its_learning_rate(
    fit_digits: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fit_digits("--model.head", "SoftmaxHead", "--optimizer.lr", "0", "--chance_level.epochs", "1")
    (warning,) = warnings(capsys)
    assert "after 1 epoch is no better" in warning
    assert "--optimizer.lr" in warning


def test_always_answering_with_the_largest_class_is_guessing(
    fit_digits: Callable[..., Path], counted_as: Callable[[list[int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that learns is not warned of, but if nine tenths of its images were of one class, it would be."""
    options = ["--chance_level.epochs", "1", "--trainer.max_epochs", "1"]
    fit_digits(*options)
    assert warnings(capsys) == []
    counted_as([1293] + [16] * 9)
    fit_digits(*options, run_dir="unequal")
    (warning,) = warnings(capsys)
    assert "guessing (0.8998)" in warning


def test_chance_alone_stays_below_the_bound() -> None:
    right = torch.rand(2_000, 1_000, generator=torch.Generator().manual_seed(0)) < 0.1
    share_above = (right.float().mean(1) > highest_by_chance(0.1, 1_000)).float().mean().item()
    assert share_above < 0.005  # 0.00135 for a normal distribution
    with pytest.raises(ValueError, match="epochs is 0"):
        ChanceLevel(0)
