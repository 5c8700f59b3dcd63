"""What holds for every head."""

import copy
import math
from collections.abc import Callable
from functools import partial
from inspect import signature

import pytest
import torch
from every_head import HEAD_CLASSES
from test_no_waiting import Watch
from torch import Tensor, nn
from torch.func import functional_call

from sbn_lightning.heads import ASoftmaxHead, CenterLossHead, Head, LSoftmaxHead, PEDCCHead, ScaledBatchNormHead
from sbn_lightning.sharding.check_head import why_undivided
from sbn_lightning.step_graph import settings_of

N, D, C = 12, 6, 4

HEADS: dict[str, Callable[[], Head]] = {
    **{name: partial(kind, D, C) for name, kind in HEAD_CLASSES.items()},
    "PEDCCHead": lambda: PEDCCHead(D, C, embedding_dim=8, root=2.0),
    "pedcc_without_neck": lambda: PEDCCHead(D, C, embedding_dim=None),
    "center_loss_beside_sbn": lambda: CenterLossHead(D, C, ScaledBatchNormHead, weight=0.1),
    "l_softmax_mostly_margin": lambda: LSoftmaxHead(D, C, annealing_start=3.0, annealing_rate=1.0, annealing_end=0.0),
    "a_softmax_mostly_margin": lambda: ASoftmaxHead(D, C, annealing_start=3.0, annealing_rate=1.0, annealing_end=0.0),
}


@pytest.fixture(params=HEADS)
def head(request: pytest.FixtureRequest) -> Head:
    """A head in training mode whose running estimates, if it has any, have seen some batches."""
    torch.manual_seed(0)
    head = HEADS[request.param]()
    for _ in range(5):
        features = 3 * torch.randn(N, D) + 1
        head.loss(head(features), torch.arange(N) % C, features)
    return head


@pytest.fixture
def features() -> Tensor:
    return 2 * torch.randn(N, D, generator=torch.Generator().manual_seed(1)) - 0.5


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(N) % C


def test_evaluation_is_one_linear_layer_on_the_embedded_features(head: Head, features: Tensor) -> None:
    head.double().eval()
    features = features.double()
    torch.testing.assert_close(head.as_linear()(head.embed(features)), head(features), rtol=1e-12, atol=1e-12)


def test_linear_copy_is_detached_and_draws_no_random_numbers(head: Head, features: Tensor) -> None:
    before = head.eval()(features)
    random_state = torch.get_rng_state()
    linear = head.as_linear()
    assert torch.equal(torch.get_rng_state(), random_state)
    with torch.no_grad():
        linear.weight.fill_(7)
        if linear.bias is not None:
            linear.bias.fill_(7)
    assert torch.equal(head(features), before)


def test_evaluation_treats_each_sample_alone(head: Head, features: Tensor) -> None:
    head.eval()
    alone = torch.cat([head(row) for row in features.split(1)])
    torch.testing.assert_close(alone, head(features), rtol=1e-5, atol=1e-5)


def test_class_weight_has_one_row_per_class(head: Head, features: Tensor) -> None:
    assert head.class_weight.shape == (C, head.embed(features).shape[1])


def test_logits_and_loss_stay_float32_under_autocast(head: Head, features: Tensor, labels: Tensor) -> None:
    features = features.bfloat16().float()  # so that the rounding of the features is no difference
    expected = head.eval()(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for given in (features, features.bfloat16()):
            logits = head(given)
            assert logits.dtype == torch.float32
            assert head.loss(logits, labels, given).dtype == torch.float32
            torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)


def test_arguments_are_not_changed(head: Head, features: Tensor, labels: Tensor) -> None:
    kept_features, kept_labels = features.clone(), labels.clone()
    logits = head(features.requires_grad_())
    kept_logits = logits.clone()
    head.loss(logits, labels, features).backward()
    assert torch.equal(features, kept_features)
    assert torch.equal(labels, kept_labels)
    assert torch.equal(logits, kept_logits)


def test_state_dict_restores_the_head(head: Head, features: Tensor, request: pytest.FixtureRequest) -> None:
    fresh = HEADS[request.node.callspec.params["head"]]()
    fresh.load_state_dict(head.state_dict())
    assert torch.equal(fresh.eval()(features), head.eval()(features))


class Loss(nn.Module):
    """A head's loss as a module, so that it can be called with other parameters."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return self.head.loss(self.head(features), labels, features)


def test_gradients_of_features_and_parameters_agree_with_finite_differences(
    head: Head, features: Tensor, labels: Tensor
) -> None:
    head.double()
    named = {f"head.{name}": parameter for name, parameter in head.named_parameters()}

    def loss(features: Tensor, *parameters: Tensor) -> Tensor:
        fresh = Loss(copy.deepcopy(head))  # always from the same running estimates
        value: Tensor = functional_call(fresh, dict(zip(named, parameters, strict=True)), (features, labels))
        return value

    assert torch.autograd.gradcheck(loss, (features.double().requires_grad_(), *named.values()))


def test_training_step_reads_no_value_from_the_device(head: Head, features: Tensor, labels: Tensor) -> None:
    with Watch() as watch:
        head.loss(head(features.requires_grad_()), labels, features).backward()
    assert not watch.counts


def test_training_changes_nothing_but_the_values_of_tensors(head: Head, features: Tensor, labels: Tensor) -> None:
    before = settings_of(head)  # a CUDA graph keeps computing with them
    for epoch in range(3):
        head.start_epoch(epoch)
        head.loss(head(features.requires_grad_()), labels, features).backward()
    assert settings_of(head) == before


def test_zero_features_give_finite_logits_and_gradients(head: Head, features: Tensor, labels: Tensor) -> None:
    features[0] = 0
    features.requires_grad_()
    head.eval()  # in training, batch normalization moves the zero vector away from 0
    logits = head(features)
    head.loss(logits, labels, features).backward()
    assert features.grad is not None
    assert logits.isfinite().all()
    assert features.grad.isfinite().all()
    assert features.grad[1].abs().max() > 0


def test_training_lowers_the_loss(head: Head, features: Tensor, labels: Tensor) -> None:
    features.requires_grad_()
    optimizer = torch.optim.SGD([features, *head.parameters()], lr=0.5)
    losses = []
    for _ in range(50):
        loss = head.loss(head(features), labels, features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("head_class", HEAD_CLASSES.values())
def test_impossible_sizes_are_refused(head_class: Callable[[int, int], Head]) -> None:
    with pytest.raises(ValueError, match="num_features must be at least 1, got 0"):
        head_class(0, C)
    with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
        head_class(D, 1)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("head_class", HEAD_CLASSES.values())
def test_no_setting_is_infinite_or_nan(head_class: Callable[..., Head], value: float) -> None:
    for name, setting in signature(head_class).parameters.items():
        if setting.annotation is float:
            with pytest.raises(ValueError, match=f"^{name} must be .*got {value}"):
                head_class(D, C, **{name: value})


def test_a_head_of_ones_own_needs_three_definitions() -> None:
    with pytest.raises(TypeError, match=r"as_linear.*class_weight.*forward"):
        type("Incomplete", (Head,), {})(D, C)


def test_each_class_is_computed_from_its_own_rows_where_classes_can_be_divided(
    head: Head, features: Tensor, labels: Tensor
) -> None:
    """Classes 1 and 2 alone; the label of another class is that of a column beside them."""
    if reason := why_undivided(head, 2):
        pytest.skip(reason)
    tensors = {name: tensor.detach().clone() for name, tensor in head.state_dict().items()}
    of_two = tensors | {name: tensors[name][1:3].clone() for name in head.class_tensors}
    logits = functional_call(head, tensors, (features,))
    logits_of_two = functional_call(head, of_two, (features,))
    torch.testing.assert_close(logits_of_two, logits[:, 1:3])
    labels_of_two = torch.where((labels == 1) | (labels == 2), labels - 1, 2)
    with_one_more = torch.cat([logits_of_two, torch.zeros(N, 1)], 1)
    # Of a copy, since each call may count as a step of an annealing.
    lowered = copy.deepcopy(head).with_margin(logits, labels, features)
    lowered_of_two = head.with_margin(with_one_more, labels_of_two, features)
    torch.testing.assert_close(lowered_of_two[:, :-1], lowered[:, 1:3])
