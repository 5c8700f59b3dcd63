"""The config `fast`: what it switches on, and that it changes neither protocol nor checkpoints."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from own_classes import PlainCNN
from torch import Tensor, nn

from sbn_lightning import Classifier, SmallCNN, SoftmaxHead
from sbn_lightning.acceleration import match_layout, missing_for_compilation
from sbn_lightning.cli.trainer import default_run_dir
from sbn_lightning.run.grid_records import Grid
from sbn_lightning.run.records import read_record, read_results

Sbn = Callable[..., None]
Fit = Callable[..., Path]

RUNS = Path(__file__).parent / "records/gpu/cifar100_resnet18"
FAST = ["--config", "fast", "--model.compile_backbone", "false"]


def stored(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.fx.GraphModule]]:
    """The graphs that compiled functions were compiled to; they are run as they are, without a compiler."""
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, example_inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr("torch.compile", partial(torch.compile, backend=keep))
    torch._dynamo.reset()
    yield graphs
    torch._dynamo.reset()


# The whole command.


def test_compiles_once_for_each_size_of_a_batch(counted: list[torch.fx.GraphModule], fit_digits: Fit, sbn: Sbn) -> None:
    run = fit_digits("--config", "fast", "--trainer.max_epochs", "3")
    # 11 × 128 + 29 training images, whose augmentation is another function, and 2 × 128 + 104 test images.
    assert len(counted) == 2 * 2 + 2
    sbn("test", "--config", "run")
    assert len(counted) == 8  # in evaluation alone, two of a model built anew
    results = json.loads((run / "results.json").read_text())
    test = results["evaluations"]["test"]
    assert test["images"] == 360
    assert test["metrics"]["loss"] == pytest.approx(results["fit"]["last"]["test_each_epoch/loss"], rel=1e-5)


def test_protocol_stays_the_first_configs(fit_digits: Fit) -> None:
    plain, fast = (
        json.loads((fit_digits(*options, run_dir=name) / "results.json").read_text())
        for name, options in (("plain", []), ("fast", FAST))
    )
    model = Classifier.load_from_checkpoint("fast/checkpoints/last.ckpt", map_location="cpu")
    assert list(model.state_dict()) == list(stored(Path("plain"))["state_dict"])
    assert fast["data"] == plain["data"]
    assert fast["model"] == plain["model"]
    assert fast["training"] == plain["training"] | {
        "precision": "bf16-mixed",
        "optimizer": ["SGD(lr=0.02, momentum=0.9, weight_decay=0.0005, fused=True)"],
    }


def test_counts_as_the_papers_training() -> None:
    """Runs of a GPU that is not here, from their records: the whole of `--config fast` was on."""
    grid = read_record(RUNS / "grid.json", Grid)
    assert len(grid.runs) == 4
    for run in grid.runs:
        assert "fast" in run.arguments
        assert run.paper is not None
        assert run.published_for(read_results(RUNS / run.folder)) == run.paper


@pytest.mark.parametrize(("first", "second"), [([], FAST), (FAST, [])])
def test_either_training_continues_as_the_other(first: list[str], second: list[str], fit_digits: Fit, sbn: Sbn) -> None:
    net = ["--model.backbone", "own_classes.PlainCNN"]
    exact = ["--trainer.precision", "32-true"]  # so that both compute the same
    options = ["--data.batch_size", "500", "--trainer.log_every_n_steps", "1", "--trainer.callbacks", "null"]
    whole = fit_digits(*net, *first, *exact, *options, run_dir="whole")
    fit_digits(*net, *first, *exact, *options, "--trainer.max_epochs", "1", run_dir="other")
    other = fit_digits(*net, *second, *exact, *options, "--ckpt_path", "last", run_dir="other")
    weights, expected = stored(other)["state_dict"], stored(whole)["state_dict"]
    assert list(weights) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-5, msg=name)


# Its parts.


def test_channels_last_changes_the_memory_and_not_the_result() -> None:
    images = torch.randint(0, 256, (5, 3, 9, 9), dtype=torch.uint8)
    plain = Classifier(PlainCNN(), SoftmaxHead, 7).eval()
    fast = Classifier(copy.deepcopy(plain.backbone), SoftmaxHead, 7, channels_last=True).eval()
    fast.load_state_dict(plain.state_dict())
    assert fast.backbone.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    assert plain.backbone.conv2.weight.is_contiguous()
    seen: list[Tensor] = []
    fast.backbone.conv1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    torch.testing.assert_close(fast(images), plain(images), rtol=1e-5, atol=1e-6)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(missing_for_compilation() is not None, reason="needs a C++ compiler")
def test_really_compiled_backbone_computes_the_same() -> None:
    plain = Classifier(PlainCNN(), SoftmaxHead, 7).eval()
    compiled = Classifier(copy.deepcopy(plain.backbone), SoftmaxHead, 7, channels_last=True, compile_backbone=True)
    compiled.trainer = Trainer(accelerator="cpu", logger=False)
    compiled.setup("test")
    compiled.load_state_dict(plain.state_dict())
    batch = torch.randint(0, 256, (5, 3, 9, 9), dtype=torch.uint8), torch.arange(5)
    with torch.no_grad():
        ours, expected = compiled.eval().test_step(batch, 0), plain.test_step(batch, 0)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(compiled.test_metrics.counts, plain.test_metrics.counts)


def test_momentum_takes_the_weights_layout() -> None:
    weight = nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    momentum = torch.randn(4, 3, 2, 2)
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    optimizer.state[weight] = {"momentum_buffer": momentum, "step": torch.tensor(3.0)}
    match_layout([optimizer])
    brought = optimizer.state[weight]["momentum_buffer"]
    assert brought.stride() == weight.stride() != momentum.stride()
    assert torch.equal(brought, momentum)


@pytest.mark.parametrize(
    ("lacking", "said"), [("compiler", r"no C\+\+ compiler nowhere"), ("header", r"no .*/Python\.h")]
)
def test_without_a_compiler_the_backbone_stays_as_it_is(
    lacking: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "nowhere" if lacking == "compiler" else "python3")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    model = Classifier(SmallCNN(4), SoftmaxHead, 7, compile_backbone=True)
    model.trainer = Trainer(accelerator="cpu", logger=False)
    with pytest.warns(UserWarning, match=f"not compiled, since there is {said}"):
        model.setup("fit")
    assert model(torch.zeros(5, 3, 9, 9, dtype=torch.uint8)).shape == (5, 7)


# Where it writes.


def test_run_of_two_configs_is_named_after_both(tmp_path: Path) -> None:
    assert default_run_dir(["a/cifar100_sbn.yaml", "b/fast.yaml"]) == Path("runs/cifar100_sbn_fast")
    assert default_run_dir(["a/cifar100_sbn.yaml"]) == Path("runs/cifar100_sbn")
    (tmp_path / "results.json").touch()
    assert default_run_dir([str(tmp_path / "config.yaml"), "fast.yaml"]) == tmp_path
