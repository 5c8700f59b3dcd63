import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from sbn_lightning.callbacks import DivergenceGuard
from sbn_lightning.callbacks.divergence_guard import are_finite
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
def test_first_bad_step_is_named(fit, classifier, tmp_path, call, every, value):
    spoil_loss(classifier, call, value)
    with pytest.raises(DivergenceError, match=f"the loss of step {call} is NaN or infinite, at learning rate 0.5 "):
        fit(DivergenceGuard(str(tmp_path)), model=classifier, log_every_n_steps=every)


@pytest.mark.parametrize(("call", "step"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_step_counts_optimizer_steps_where_gradients_are_accumulated(fit, classifier, tmp_path, call, step):
    spoil_loss(classifier, call, float("nan"))
    with pytest.raises(DivergenceError, match=f"the loss of step {step} is NaN"):
        fit(DivergenceGuard(str(tmp_path)), model=classifier, accumulate_grad_batches=2)


def test_training_stops_at_the_next_logging_step(fit, classifier, recorder, tmp_path):
    spoil_loss(classifier, 1, float("nan"))
    with pytest.raises(DivergenceError):
        fit(DivergenceGuard(str(tmp_path)), recorder, model=classifier, log_every_n_steps=3)
    assert len(recorder.train) == 2  # the third step's recorder was not reached


def test_infinite_gradient_of_a_finite_loss_is_found_before_validation(fit, classifier, recorder, tmp_path):
    spoil_weight(classifier, 4)  # the epoch's last step: no loss of this epoch shows it
    with pytest.raises(DivergenceError, match="step 4 made a weight or running estimate NaN or infinite"):
        fit(DivergenceGuard(str(tmp_path)), recorder, model=classifier)
    assert recorder.val == []


@pytest.mark.parametrize("spoil", [spoil_weight, lambda classifier, call: spoil_loss(classifier, call, torch.nan)])
def test_bad_state_is_not_saved_and_the_last_good_one_stays(fit, classifier, tmp_path, spoil):
    spoil(classifier, 3)
    checkpoints = tmp_path / "checkpoints"
    saving = ModelCheckpoint(checkpoints, filename="last", every_n_train_steps=1, enable_version_counter=False)
    with pytest.raises(DivergenceError, match=r"the last good checkpoint is .*checkpoints/last\.ckpt\. "):
        fit(DivergenceGuard(str(checkpoints)), saving, model=classifier, enable_checkpointing=True)
    assert [path.name for path in checkpoints.iterdir()] == ["last.ckpt"]
    stored = torch.load(checkpoints / "last.ckpt", weights_only=True)
    assert stored["global_step"] == 2
    assert all(value.isfinite().all() for value in stored["state_dict"].values())


def test_buffer_that_is_infinite_from_the_start_is_left_alone(fit, classifier, tmp_path):
    classifier.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    fit(DivergenceGuard(str(tmp_path)), model=classifier)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_large_weights_are_not_taken_for_infinite_ones(dtype):
    largest = torch.full((3,), torch.finfo(dtype).max)
    assert are_finite([largest, torch.empty(0), torch.tensor(7)])
    assert not are_finite([largest, torch.tensor([1.0, torch.inf])])


def test_healthy_training_goes_through_without_waiting_in_a_step(fit, tmp_path, monkeypatch):
    guard = DivergenceGuard(str(tmp_path))
    read_at, check = [], guard._check_losses
    monkeypatch.setattr(guard, "_check_losses", lambda *args: read_at.append(args[0].global_step) or check(*args))
    fit(guard, log_every_n_steps=3, limit_val_batches=0)
    assert read_at == [3, 4, 6, 8]  # of 2 epochs of 4 steps


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
    for part in (
        "there is no checkpoint yet",
        "--optimizer.lr 1e+09",
        "--trainer.gradient_clip_val 1",
    ):
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
    assert "the last good checkpoint is run/checkpoints/last.ckpt" in capsys.readouterr().err
    assert last.read_bytes() == kept
