"""A training step as a CUDA graph, with a stand-in that computes again what was recorded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from sbn_lightning import Classifier
from sbn_lightning.backbones import SmallCNN
from sbn_lightning.data import Digits
from sbn_lightning.errors import UsageError
from sbn_lightning.heads import AMSoftmaxHead, LSoftmaxHead
from sbn_lightning.step_graph import WARM_UP, StepGraph, can_be_recorded


class Recorded:
    """In place of torch.cuda.CUDAGraph: plays a step by computing it again, into the same tensors."""

    made: list["Recorded"]

    def __init__(self) -> None:
        self.plays = 0
        self.made.append(self)

    def replay(self) -> None:
        self.plays += 1
        step = self.step
        leaves = [parameter for parameter, gradient in step._gradients if gradient is not None]
        loss, *others = step.compute(*step._inputs)
        gradients = torch.autograd.grad(loss, leaves)
        for kept, new in zip(flat(step._outputs), flat((loss, *others)), strict=True):
            kept.copy_(new.detach())
        kept_gradients = [gradient for _, gradient in step._gradients if gradient is not None]
        for kept, new in zip(kept_gradients, gradients, strict=True):
            kept.copy_(new)


def flat(values: Any) -> list[Tensor]:
    return [values] if isinstance(values, Tensor) else [tensor for value in values for tensor in flat(value)]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    Recorded.made = []

    @contextmanager
    def recording(graph: Recorded) -> Iterator[None]:
        yield

    record = StepGraph._record

    def remembered(self: StepGraph, inputs: tuple[Tensor, ...]) -> Any:
        before = {name: tensor.clone() for name, tensor in self.model.named_buffers()}
        graph = record(self, inputs)
        for name, tensor in self.model.named_buffers():  # recording computes nothing
            tensor.copy_(before[name])
        graph.step = self
        return graph

    monkeypatch.setattr("torch.cuda.CUDAGraph", Recorded)
    monkeypatch.setattr("torch.cuda.graph", recording)
    monkeypatch.setattr(StepGraph, "_record", remembered)
    return Recorded.made


def trained(
    step: Callable[..., Any], backward: Callable[[Tensor], None], net: nn.Module, sizes: list[int]
) -> list[float]:
    """The losses of a training on batches of these sizes."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for size in sizes:
        images, labels = torch.randn(size, 3, generator=generator), torch.randint(0, 2, (size,), generator=generator)
        loss, _ = step(images, labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        backward(loss)
        optimizer.step()
    return losses


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def computing(net: nn.Module) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    def compute(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = net(images)
        return nn.functional.cross_entropy(logits, labels), logits.detach()

    return compute


def test_trains_as_without_it(recorded: list[Recorded]) -> None:
    sizes = [5] * 6 + [3] + [5] * 4 + [3, 5]
    plain, net = network(), network()
    expected = trained(computing(plain), lambda loss: loss.backward(), plain, sizes)
    graph = StepGraph([net], computing(net))
    assert trained(graph, graph.backward, net, sizes) == expected
    torch.testing.assert_close(net.state_dict(), plain.state_dict(), rtol=0, atol=0)
    assert [one.plays for one in recorded] == [len([size for size in sizes if size == 5]) - WARM_UP]


def test_steps_that_a_head_counts_are_counted_when_the_graph_is_played(recorded: list[Recorded]) -> None:
    torch.manual_seed(0)
    plain, head = (LSoftmaxHead(3, 2, annealing_start=9.0, annealing_rate=1.0, annealing_end=0.0) for _ in range(2))
    head.load_state_dict(plain.state_dict())

    def computing_loss(head: LSoftmaxHead) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        def compute(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            logits = head(features)
            return head.loss(logits, labels, features), logits.detach()

        return compute

    expected = trained(computing_loss(plain), lambda loss: loss.backward(), plain, [5] * 8)
    graph = StepGraph([head], computing_loss(head))
    assert trained(graph, graph.backward, head, [5] * 8) == expected
    assert head.margin.steps == 8
    assert recorded[0].plays == 8 - WARM_UP


class Settings(nn.Module):
    """Multiplies by settings that are no plain values, and by one that is."""

    def __init__(self) -> None:
        super().__init__()
        self.by_list, self.by_dict = [1.0, 1.0], {"factor": 1.0}
        self.function: Callable[[Tensor], Tensor] = torch.relu
        self.tensor = torch.ones(())
        self.factor: float | None = None

    def forward(self, images: Tensor) -> Tensor:
        scaled = self.function(images) * self.by_list[1] * self.by_dict["factor"] * self.tensor
        return scaled if self.factor is None else scaled * self.factor


CHANGES: dict[str, Callable[[Any], None]] = {
    "list": lambda module: module.by_list.__setitem__(1, 2.0),
    "dict": lambda module: module.by_dict.update(factor=2.0),
    "function": lambda module: setattr(module, "function", torch.tanh),
    "tensor": lambda module: setattr(module, "tensor", torch.full((), 2.0)),
    "from none": lambda module: setattr(module, "factor", 2.0),
    "hook": lambda module: module.register_forward_hook(lambda module, inputs, output: output * 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_of_any_attribute_is_recorded_anew(change: str, recorded: list[Recorded]) -> None:
    net = nn.Sequential(Settings(), network())
    graph = StepGraph([net], computing(net))
    for epoch in range(3):
        if epoch == 1:
            CHANGES[change](net[0])
        graph.on_epoch_start()
        trained(graph, graph.backward, net, [5] * 6)
    assert len(recorded) == 2


def test_other_module_in_place_of_one_is_recorded_anew(recorded: list[Recorded]) -> None:
    net = network()
    graph = StepGraph([net], computing(net))
    trained(graph, graph.backward, net, [5] * 6)
    net[2] = nn.Tanh()
    graph.on_epoch_start()
    trained(graph, graph.backward, net, [5] * 6)
    assert len(recorded) == 2


def test_value_that_changes_within_an_epoch_is_refused(recorded: list[Recorded]) -> None:
    net = nn.Sequential(Settings(), network())
    graph = StepGraph([net], computing(net))
    net[0].factor = 1.0
    trained(graph, graph.backward, net, [5] * 6)
    graph.check()  # it changed before the step was recorded
    net[0].kept = torch.ones(2)  # an object that a module keeps is no setting
    graph.check()
    net[0].factor = 1.5
    with pytest.raises(UsageError, match=r"0\.0\.factor has changed within an epoch.*--model.cuda_graph false"):
        graph.check()


def test_weights_that_are_replaced_within_an_epoch_are_refused(recorded: list[Recorded]) -> None:
    net = network()
    graph = StepGraph([net], computing(net))
    trained(graph, graph.backward, net, [5] * 6)
    net[0].weight.data = net[0].weight.data.clone()
    with pytest.raises(UsageError, match=r"0\.0\._parameters has changed"):
        graph.check()


def test_other_strategies_record_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = property(lambda self: torch.device("cuda", 0))
    for strategy in (SingleDeviceStrategy, DDPStrategy):
        monkeypatch.setattr(strategy, "root_device", cuda)
    settings: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False}
    assert can_be_recorded(Trainer(**settings))
    assert not can_be_recorded(Trainer(**settings, strategy="ddp"))


class WithOptimizer(Classifier):
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Keeping(Callback):
    """Keeps the logits of each step, with a copy of what they were; changes a setting of the head; and fails."""

    def __init__(self, changes: bool = False, fails: bool = False) -> None:
        self.changes, self.fails = changes, fails
        self.logits: list[tuple[Tensor, Tensor]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.logits.append((outputs["logits"], outputs["logits"].clone()))
        if self.changes:
            pl_module.head.scale += 0.1
        if self.fails and batch_idx == 6:
            raise RuntimeError("made to fail")


def test_trainings_of_one_model_in_python(
    recorded: list[Recorded], digits_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits that a callback keeps stay; no graph outlives a training that failed; a margin that changes is refused."""
    data = Digits(root=digits_root)
    data.prepare_data()
    model = WithOptimizer(SmallCNN(width=4), AMSoftmaxHead, num_classes=10, cuda_graph=True)
    settings: dict[str, Any] = {"accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_checkpointing": False}
    settings |= {"enable_progress_bar": False, "limit_val_batches": 0, "enable_model_summary": False}
    monkeypatch.setattr("sbn_lightning.classifier.can_be_recorded", lambda trainer: True)
    keeping = Keeping(fails=True)
    with pytest.raises(RuntimeError, match="made to fail"):
        Trainer(**settings, callbacks=[keeping]).fit(model, datamodule=data)
    assert recorded[0].plays == 7 - WARM_UP
    assert all(torch.equal(kept, copy) for kept, copy in keeping.logits)
    with pytest.raises(UsageError, match="scale has changed within an epoch"):
        Trainer(**settings, callbacks=[Keeping(changes=True)]).fit(model, datamodule=data)
    plays = [one.plays for one in recorded]
    monkeypatch.setattr("sbn_lightning.classifier.can_be_recorded", lambda trainer: False)
    Trainer(**settings).fit(model, datamodule=data)
    assert [one.plays for one in recorded] == plays


@pytest.mark.parametrize("change", ["momentum", "requires_grad", "mode"])
def test_what_has_changed_is_recorded_anew(change: str, recorded: list[Recorded]) -> None:
    nets = [network(), network()]
    graph = StepGraph([nets[1]], computing(nets[1]))
    for net, step, backward in zip(nets, [computing(nets[0]), graph], [Tensor.backward, graph.backward], strict=True):
        for epoch in range(3):
            if epoch == 1 and change == "momentum":
                net[1].momentum = 0.5
            elif epoch == 1 and change == "mode":
                net[1].eval()
            elif epoch == 1:
                net[0].weight.requires_grad_(False)
            graph.on_epoch_start()
            trained(step, backward, net, [5] * 6)
    torch.testing.assert_close(nets[1].state_dict(), nets[0].state_dict(), rtol=0, atol=0)
    assert len(recorded) == 2


def test_step_that_cannot_be_recorded_is_named(recorded: list[Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    graph = StepGraph([net], computing(net))

    @contextmanager
    def failing(graph: Any) -> Iterator[None]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")
        yield

    monkeypatch.setattr("torch.cuda.graph", failing)
    with pytest.raises(UsageError, match=r"\(operation not permitted .* capturing\); switch it off with --model.cuda_"):
        trained(graph, graph.backward, net, [5] * 6)


def test_whole_training_is_the_same(
    recorded: list[Recorded], sbn: Callable[..., None], digits_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--config", "digits_sbn", "--data.root", digits_root, "--model.backbone.width", 4]
    options += ["--trainer.max_epochs", 2, "--trainer.log_every_n_steps", 4]
    sbn("fit", *options, "--run_dir", "plain")
    monkeypatch.setattr("sbn_lightning.classifier.can_be_recorded", lambda trainer: True)
    sbn("fit", *options, "--run_dir", "graph", "--model.cuda_graph", "true")
    assert [one.plays for one in recorded] == [2 * 11 - WARM_UP]
    plain, graph = (Classifier.load_from_checkpoint(f"{name}/checkpoints/last.ckpt") for name in ("plain", "graph"))
    torch.testing.assert_close(graph.state_dict(), plain.state_dict(), rtol=0, atol=0)
    texts = [Path(name, "metrics.csv").read_text() for name in ("plain", "graph")]
    assert texts[0] == texts[1]
