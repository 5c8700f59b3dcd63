"""Two processes that divide a head's classes compute what one process with the whole head computes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from every_head import HEAD_CLASSES
from torch import Tensor, nn

from sbn_lightning.errors import UsageError
from sbn_lightning.heads import SoftmaxHead
from sbn_lightning.sharding.check_head import why_undivided
from sbn_lightning.sharding.head import ShardedHead
from sbn_lightning.sharding.strategy import divided_like
from sbn_lightning.sharding.tensors import own_part, whole

D, C, STEPS = 16, 7, 20  # of 7 classes, the first process has 4
SHARES = [(8, 8), (9, 8)]
HEADS = {name: kind for name, kind in HEAD_CLASSES.items() if not why_undivided(kind(D, C), 4)}
OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.1),
    "Adafactor": lambda parameters: torch.optim.Adafactor(parameters, lr=0.1),
    "fused": lambda parameters: torch.optim.SGD(parameters, lr=0.1, fused=True),
}


def train(head_name: str, rows: slice, total: int) -> dict[str, Any]:
    """Trains on these rows of batches of `total` samples; with a divided head if there are several processes."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, D)).double()
    head = HEADS[head_name](D, C).double()
    sharded = ShardedHead(head, torch.device("cpu")) if dist.is_initialized() else None
    if sharded:
        sharded.replicate(backbone)
    parameters = [*backbone.parameters(), *head.parameters()]
    optimizer = OPTIMIZERS["SGD"](parameters)
    result: dict[str, Any] = {"losses": []}
    for step in range(STEPS):
        inputs, labels = torch.randn(total, 10, dtype=torch.float64), torch.randint(C, (total,))
        inputs, labels = inputs[rows] + labels[rows, None] / C, labels[rows]
        optimizer.zero_grad()
        if sharded:
            loss, logits = sharded.evaluated(sharded.backbone(inputs), labels)
            sharded.backward(loss)
        else:
            features = backbone(inputs)
            logits = head(features)
            loss = head.loss(logits, labels, features)
            loss.backward()
        if step == 0:
            result |= {"logits": logits.detach(), "gradients": [whole(parameter.grad) for parameter in parameters]}
            result["held"] = [tuple(own_part(parameter).shape) for parameter in head.parameters()]
        result["losses"].append(loss.item())
        optimizer.step()
    states = [*backbone.state_dict().values(), *head.state_dict().values()]
    result["state"] = [whole(tensor) for tensor in states]
    head.eval()
    with torch.inference_mode():  # as a trainer does on GPUs
        evaluate = sharded.evaluated if sharded else lambda x, y: (head.loss(head(x), y, x), head(x))
        result["evaluation"] = [tensor.clone() for tensor in evaluate(backbone(inputs), labels)]
        result["predicted"] = (sharded.logits if sharded else head)(backbone(inputs)).clone()
    return result


def clipped(algorithm: str) -> list[Tensor]:
    """Gradients of a divided head, or a whole one on one process, and of a parameter beside it, clipped to 0.5."""
    torch.manual_seed(0)
    head, beside = SoftmaxHead(D, C), nn.Parameter(torch.randn(3))
    gradients = [torch.randn_like(parameter) for parameter in (*head.parameters(), beside)]
    sharded = ShardedHead(head, torch.device("cpu")) if dist.is_initialized() else None
    parameters = [*head.parameters(), beside]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = divided_like(parameter, gradient.clone())
    if sharded:
        sharded.clip(parameters, 0.5, algorithm)
    elif algorithm == "norm":
        nn.utils.clip_grad_norm_(parameters, 0.5)
    else:
        nn.utils.clip_grad_value_(parameters, 0.5)
    return [whole(parameter.grad) for parameter in parameters]


def refusal(build: Any) -> str:
    """What is said of an optimizer that cannot train a divided head; nothing of one that can."""
    try:
        ShardedHead(SoftmaxHead(D, C), torch.device("cpu")).check_optimizer(build)
    except UsageError as error:
        return str(error)
    except SystemExit as end:
        return f"exit {end.code}"
    return ""


def work() -> dict[str, Any]:
    """What each of the two processes does, see callbacks/on_two_processes.py."""
    rank = dist.get_rank()
    results: dict[str, Any] = {name: refusal(build) for name, build in OPTIMIZERS.items()}
    results["clipped"] = {algorithm: clipped(algorithm) for algorithm in ("norm", "value")}
    for name in HEADS:
        for first, second in SHARES:
            rows = slice(0, first) if rank == 0 else slice(first, None)
            results[f"{name} {first}+{second}"] = train(name, rows, first + second)
    return results


@pytest.fixture(scope="module")
def worked(two_processes: Path) -> list[dict[str, Any]]:
    return [torch.load(two_processes / f"divided_{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("head", HEADS)
def test_divided_head_trains_like_a_whole_one(worked: list[dict[str, Any]], head: str, shares: tuple[int, int]) -> None:
    first, second = (results[f"{head} {shares[0]}+{shares[1]}"] for results in worked)
    one = train(head, slice(None), sum(shares))
    # in float64 only the order of sums differs: 1e-16 at first, which the steps multiply
    torch.testing.assert_close(torch.cat([first["logits"], second["logits"]]), one["logits"], rtol=1e-12, atol=1e-12)
    for result in (first, second):
        torch.testing.assert_close(result["gradients"], one["gradients"], rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(result["losses"], one["losses"], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(result["state"], one["state"], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(result["evaluation"][0], one["evaluation"][0], rtol=1e-9, atol=1e-9)
    evaluated = torch.cat([result["evaluation"][1] for result in (first, second)])
    torch.testing.assert_close(evaluated, one["evaluation"][1], rtol=1e-9, atol=1e-9)
    predicted = torch.cat([result["predicted"] for result in (first, second)])
    torch.testing.assert_close(predicted, one["predicted"], rtol=1e-9, atol=1e-9)


def test_softmax_batch_norm_and_cosine_heads_can_be_divided() -> None:
    assert {"SoftmaxHead", "ScaledBatchNormHead", "AMSoftmaxHead"} <= HEADS.keys()


def test_each_process_holds_the_weights_of_its_own_classes_only(worked: list[dict[str, Any]]) -> None:
    assert [results["SoftmaxHead 8+8"]["held"] for results in worked] == [[(4, D), (4,)], [(3, D), (3,)]]


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_as_those_of_one_process(worked: list[dict[str, Any]], algorithm: str) -> None:
    for result in worked:
        torch.testing.assert_close(result["clipped"][algorithm], clipped(algorithm))


def test_optimizer_that_cannot_train_tensors_of_two_kinds_is_refused_by_the_first_process(
    worked: list[dict[str, Any]],
) -> None:
    assert [(results["SGD"], results["AdamW"]) for results in worked] == [("", "")] * 2
    for name in ("Adafactor", "fused"):
        assert worked[0][name].endswith(" cannot train a head that is divided among processes; choose SGD or AdamW")
        assert worked[1][name] == "exit 0"
