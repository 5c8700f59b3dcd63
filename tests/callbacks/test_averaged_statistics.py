import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from sbn_lightning import Classifier, Digits
from sbn_lightning.run.records import read_results, write_record

SWA = ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.05"]


@pytest.mark.parametrize("backbone", ["SmallCNN", "own_classes.PlainCNN"])  # with batch normalization, and without
def test_statistics_of_the_head_are_those_of_the_averaged_weights(
    backbone: str, fit_digits: Callable[..., Path], digits_root: Path
) -> None:
    width = [] if backbone == "SmallCNN" else ["--model.backbone", backbone]
    run = fit_digits(
        *width, "--trainer.max_epochs", "3", *SWA, "--trainer.callbacks.swa_epoch_start", "1",
    )  # fmt: skip
    results = read_results(run)
    assert (results.training.epochs, results.fit.epochs_done, results.trained) == (3, 3.0, True)
    assert [epoch["epoch"] for epoch in results.fit.epochs] == [1, 2, 3]
    assert results.training.callbacks == ["StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1)"]

    data = Digits(root=str(digits_root))
    data.prepare_data()
    data.setup("fit")
    loader = data.train_dataloader()
    loader.set_epoch(3)  # the one in which nothing was trained
    model = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").train()
    norm = model.head.norm
    stored = norm.running_mean.clone(), norm.running_var.clone()
    norm.momentum = 1.0  # the statistics of the last batch
    means, variances = [], []
    with torch.no_grad():
        for batch in loader:
            images, _ = data.on_after_batch_transfer(batch, 0)
            model(images)
            means.append(norm.running_mean.clone())
            variances.append(norm.running_var.clone())
    torch.testing.assert_close(stored[0], torch.stack(means).mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stored[1], torch.stack(variances).mean(0), rtol=1e-4, atol=1e-5)


def test_training_that_ends_before_its_weights_are_averaged_keeps_those_of_its_last_step(
    fit_digits: Callable[..., Path], sbn: Callable[..., None]
) -> None:
    run = fit_digits(*SWA, "--trainer.callbacks.swa_epoch_start=1", "--trainer.max_steps=20")
    sbn("test", "--config", run, "--trainer.enable_progress_bar", "false")
    results = read_results(run)
    assert results.fit.stopped_by == "max_steps 20, before the weights were averaged"
    for name in ("accuracy", "loss"):
        assert results.fit.last[f"test_each_epoch/{name}"] == pytest.approx(results.evaluations["test"].metrics[name])


def test_epoch_of_the_averaged_weights_is_one_step_and_validated_once(
    fit_digits: Callable[..., Path], answer: Callable[..., str]
) -> None:
    options = ["--data.validation_fraction=0.2", "--trainer.val_check_interval=0.25", "--trainer.log_every_n_steps=9"]
    options += [*SWA, "--trainer.callbacks.swa_epoch_start=1"]
    options += ["--trainer.callbacks+=GradientAccumulationScheduler", "--trainer.callbacks.scheduling={1: 3}"]
    run = fit_digits(*options)
    fit = read_results(run).fit
    assert fit.step == 9 + 3 + 1
    assert fit.best["epoch"] <= 2
    validated = [
        json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines() if '"val/loss"' in line
    ]
    assert [step for step in validated if step >= 12] == [12]
    write_record(run / "results.json", replace(read_results(run), fit=None))  # as if it was killed before it wrote it
    again = read_results(fit_digits(*options, "--auto_resume=true")).fit
    assert (again.epochs_done, again.stopped_by, again.last, again.best) == (2.0, "", fit.last, fit.best)
    reason = answer("fit", "--config", run, "--ckpt_path=last", "--trainer.max_epochs=4")
    assert "has been trained for 2 epochs, and StochasticWeightAveraging has averaged its weights" in reason


@pytest.mark.parametrize("backbone", [[], ["--model.backbone=own_classes.PlainCNN", "--model.head=SoftmaxHead"]])
def test_averaged_weights_are_the_same_with_and_without_validations(
    backbone: list[str], fit_digits: Callable[..., Path]
) -> None:
    options = [*backbone, *SWA, "--trainer.callbacks.swa_epoch_start=1"]
    runs = [fit_digits(*options, run_dir="with")]
    runs.append(fit_digits(*options, "--trainer.limit_val_batches=0", run_dir="without"))
    validated, other = (Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").state_dict() for run in runs)
    for name, value in validated.items():
        assert torch.equal(value, other[name]), name
