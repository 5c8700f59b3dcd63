"""What settings do in whole trainings: classes of one's own, seeds, warnings, no logger."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbn_lightning import Classifier
from sbn_lightning.data import BatchLoader

Fit = Callable[..., Path]


def results(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def test_another_class_starts_from_its_own_defaults(fit_digits: Fit) -> None:
    head = ["--model.head", "AMSoftmaxHead", "--model.head.margin", "0.5"]
    run = fit_digits(*head, "--optimizer", "Adam", "--trainer.max_epochs", "1")
    assert results(run)["model"]["head"]["settings"] == {"scale": 7.5, "margin": 0.5}  # not the config's scale of 3
    assert results(run)["training"]["optimizer"] == ["Adam(lr=0.001)"]  # not the config's 0.02 and weight decay


def test_head_in_a_head_is_set_and_loaded_as_any_other(
    fit_digits: Fit, answer: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    head = ["--model.head", "CenterLossHead", "--model.head.head", "ScaledBatchNormHead"]
    run = fit_digits(*head, "--model.head.head.scale", "0.9", "--trainer.max_epochs", "1")
    assert "--model.head.head.scale 1.4" in capsys.readouterr().out  # advice
    found = results(run)["model"]["head"]
    assert found["title"] == "SBN + center loss"
    assert found["settings"] == {
        "head": "ScaledBatchNormHead", "head.scale": 0.9, "head.eps": 1e-5, "head.momentum": 0.1,
        "weight": 0.003, "rate": 0.5,
    }  # fmt: skip
    loaded = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt")
    stored = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(dict(loaded.state_dict()), stored, rtol=0, atol=0)
    assert loaded.head.head.norm.scale == 0.9

    override = ["fit", "--config", run, "--run_dir", "other"]
    for option, value, reason in (
        (
            "init_args.head.init_args.scale",
            -1,
            "--model.head.init_args.head.init_args.scale: scale must be positive, got -1.0",
        ),
        ("head.scal", 3, "--model.head.head.scal: ScaledBatchNormHead has no key 'scal', did you mean 'scale'?"),
        ("head", "Softmax", "--model.head.head: there is no class 'Softmax', did you mean 'SoftmaxHead'? (known are "),
    ):
        assert reason in answer(*override, f"--model.head.{option}", value)


def test_own_classes_are_named_by_import_path_also_in_the_current_folder(fit_digits: Fit, tmp_path: Path) -> None:
    (tmp_path / "my_heads.py").write_text("from own_classes import CosineHead\nclass MyHead(CosineHead): pass\n")
    run = fit_digits("--model.backbone", "own_classes.PlainCNN", "--model.head", "my_heads.MyHead")
    model = results(run)["model"]
    assert (model["backbone"]["name"], model["head"]["name"]) == ("PlainCNN", "MyHead")


def test_scale_too_small_for_ten_classes_is_warned_of(fit_digits: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit_digits("--model.head.scale", "0.9", "--trainer.max_epochs", "1")
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning")]
    (warning,) = [line for line in warnings if "never reaches its milestones" not in line]
    assert "--model.head.scale 1.4" in warning


@pytest.mark.parametrize(("smallest", "pointed_out"), [(9, True), (10, False)])
def test_very_unequal_classes_are_pointed_out(
    smallest: int,
    pointed_out: bool,
    fit_digits: Fit,
    counted_as: Callable[[list[int]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    counted_as([100] * 9 + [smallest])
    fit_digits("--trainer.max_epochs", "1")
    assert ("more than 10 times as many training images" in capsys.readouterr().out) == pointed_out


def test_equal_seeds_give_equal_weights_and_other_seeds_others(
    fit_digits: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_data = []
    started = BatchLoader.__iter__
    monkeypatch.setattr(BatchLoader, "__iter__", lambda self: of_the_data.append(self.seed) or started(self))
    weights = {
        name: torch.load(fit_digits("--seed_everything", seed, run_dir=name) / "checkpoints/last.ckpt")
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    }
    a, b, c = (weights[name]["state_dict"]["head.linear.weight"] for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert set(of_the_data) == {1, 2}


def test_without_a_logger_the_record_is_kept_all_the_same(fit_digits: Fit) -> None:
    with pytest.warns(UserWarning, match="no TensorBoardLogger"):
        run = fit_digits("--trainer.logger", "false", "--trainer.callbacks", "null", "--trainer.log_every_n_steps", "0")
    assert {
        "config.yaml",
        "metrics.jsonl",
        "metrics.csv",
        "results.csv",
        "results.json",
        "run.lock",
        "checkpoints",
    } == {path.name for path in run.iterdir()}
    assert len(results(run)["fit"]["epochs"]) == 2
