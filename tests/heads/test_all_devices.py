"""Two processes that share a batch compute what one process with the whole batch computes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from every_head import HEAD_CLASSES
from torch import Tensor, nn

from sbn_lightning.heads import ASoftmaxHead, CenterLossHead, Head, LSoftmaxHead, PEDCCHead, RunningStatisticsHead
from sbn_lightning.heads.all_devices import batch_moments, mean_over_devices, num_devices, sum_over_devices

D, C, STEPS = 16, 7, 20
SHARES = [(40, 40), (41, 40)]
HEADS: dict[str, Callable[[], Head]] = {
    **{name: partial(kind, D, C) for name, kind in HEAD_CLASSES.items()},
    "PEDCCHead": lambda: PEDCCHead(D, C, embedding_dim=8, root=2.0),
    "RunningStatisticsHead": lambda: RunningStatisticsHead(D, C, momentum=0.1),
    "CenterLossHead": lambda: CenterLossHead(D, C, weight=0.1),
    "LSoftmaxHead": lambda: LSoftmaxHead(D, C, annealing_start=9.0, annealing_rate=1.0, annealing_end=1.0),
    "ASoftmaxHead": lambda: ASoftmaxHead(D, C, annealing_start=9.0, annealing_rate=1.0, annealing_end=1.0),
}


class Model(nn.Module):
    def __init__(self, head: Head) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, D), nn.ReLU())
        self.head = head

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(inputs)
        return features, self.head(features)


def train(head_name: str, rows: slice, total: int) -> dict[str, Any]:
    """Trains on these rows of batches of `total` samples; with DDP if there are several processes."""
    torch.manual_seed(0)
    model = Model(HEADS[head_name]()).double()
    forward = nn.parallel.DistributedDataParallel(model) if num_devices() > 1 else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    result: dict[str, Any] = {}
    for step in range(STEPS):
        inputs, labels = torch.randn(total, 10, dtype=torch.float64), torch.randint(C, (total,))
        inputs, labels = inputs[rows] + labels[rows, None] / C, labels[rows]
        features, logits = forward(inputs)
        # DDP averages the gradients over the processes: this weight makes that the mean over all samples
        loss = model.head.loss(logits, labels, features) * (len(labels) * num_devices() / total)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            result["logits"] = logits.detach().clone()
            result["gradients"] = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        optimizer.step()
    result["state"] = model.state_dict()
    return result


def work() -> dict[str, Any]:
    """What each of the two processes does, see callbacks/on_two_processes.py."""
    rank = dist.get_rank()
    results: dict[str, Any] = {}
    for name in HEADS:
        for first, second in SHARES:
            rows = slice(0, first) if rank == 0 else slice(first, None)
            results[f"{name} {first}+{second}"] = train(name, rows, first + second)

    if rank == 0:  # alone: a collective in evaluation would wait for the other process in vain
        for build in HEADS.values():
            head, features = build().eval(), torch.randn(3, D)
            head.loss(head(features), torch.arange(3), features)

    values = torch.tensor([1.0, 2.0, 6.0]) if rank == 0 else torch.tensor([7.0])
    values.requires_grad_()
    mean = mean_over_devices(values)
    (mean * (rank + 1)).backward()
    results["mean"] = {"value": mean.detach(), "gradient": values.grad}

    transposed = torch.arange(6.0).view(2, 3).T + rank
    results["sum"] = {"value": sum_over_devices(transposed), "argument": transposed}
    return results


@pytest.fixture(scope="module")
def worked(two_processes: Path) -> list[dict[str, Any]]:
    return [torch.load(two_processes / f"heads_{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("head", HEADS)
def test_two_processes_train_like_one(worked: list[dict[str, Any]], head: str, shares: tuple[int, int]) -> None:
    first, second = (results[f"{head} {shares[0]}+{shares[1]}"] for results in worked)
    one = train(head, slice(None), sum(shares))
    # in float64 only the order of sums differs: 1e-16 at first, which the steps multiply
    torch.testing.assert_close(torch.cat([first["logits"], second["logits"]]), one["logits"], rtol=1e-12, atol=1e-12)
    for result in (first, second):
        torch.testing.assert_close(result["gradients"], one["gradients"], rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(dict(result["state"]), dict(one["state"]), rtol=1e-9, atol=1e-9)


def test_mean_over_devices_weighs_unequal_shares_by_their_size(worked: list[dict[str, Any]]) -> None:
    for rank, shape in ((0, 3), (1, 1)):
        result = worked[rank]["mean"]
        assert result["value"] == 4.0  # (1 + 2 + 6 + 7) / 4
        # the losses are mean * 1 and mean * 2: together 3 * mean, of which each value is a quarter
        assert result["gradient"].tolist() == [0.75] * shape


def test_sum_over_devices_leaves_its_argument_alone(worked: list[dict[str, Any]]) -> None:
    expected = torch.arange(6.0).view(2, 3).T
    for rank, results in enumerate(worked):
        assert torch.equal(results["sum"]["argument"], expected + rank)
        assert torch.equal(results["sum"]["value"], 2 * expected + 1)


def test_one_process_sums_over_itself() -> None:
    values = torch.randn(5, 3, dtype=torch.float64)
    assert sum_over_devices(values) is values
    assert mean_over_devices(values[:, 0]) == pytest.approx(values[:, 0].mean().item())
    mean, variance, count = batch_moments(values)
    torch.testing.assert_close(mean, values.mean(dim=0))
    torch.testing.assert_close(variance, values.var(dim=0, correction=0))
    assert count == 5


def test_moments_have_the_gradients_of_finite_differences() -> None:
    values = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: batch_moments(v)[:2], values)


def test_variance_keeps_its_digits_beside_a_large_mean() -> None:
    # exact in float32; E[v^2] - E[v]^2 is 0 or 2 here, where 2^24 has a spacing of 2
    values = torch.tensor([[4095.0], [4097.0]])
    assert batch_moments(values)[1].item() == 1.0
