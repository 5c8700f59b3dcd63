"""Center loss beside another head's."""

from functools import partial

import pytest
import torch
from torch import Tensor

from sbn_lightning.heads import AMSoftmaxHead, CenterLossHead, ScaledBatchNormHead, ScheduledScaleHead, SoftmaxHead

N, D, C = 12, 6, 4
LABELS = torch.arange(N) % C


@pytest.fixture
def features() -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_center_moves_towards_its_samples() -> None:
    # 0 - 0.5 * ((0 - 1) + (0 - 3)) / (1 + 2) = 2/3 in the first coordinate
    head = CenterLossHead(2, 3, rate=0.5)
    features = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    head.loss(head(features), torch.tensor([1, 1]), features)
    torch.testing.assert_close(head.centers, torch.tensor([[0.0, 0.0], [2 / 3, 0.0], [0.0, 0.0]]))


def test_loss_is_that_of_the_centers_before_they_move() -> None:
    # weight/2 * mean of 1 and 9 = 0.2 * 5; in the second step weight/2 * mean of (1/3)^2 and (7/3)^2
    head = CenterLossHead(2, 3, weight=0.4, rate=0.5).double()
    features, labels = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64), torch.tensor([1, 1])
    for distance in (5.0, (1 / 9 + 49 / 9) / 2):
        logits = head(features)
        own = head.head.loss(logits, labels, features)
        assert (head.loss(logits, labels, features) - own).item() == pytest.approx(0.2 * distance, rel=1e-12)


def test_gradient_of_the_term_draws_features_to_their_center(features: Tensor) -> None:
    head = CenterLossHead(D, C, weight=0.4).double()
    head.centers.normal_(generator=torch.Generator().manual_seed(1))
    centers = head.centers.clone()
    given = features.requires_grad_()
    logits = head(given)
    gradients = [
        torch.autograd.grad(one.loss(logits, LABELS, given), given, retain_graph=True) for one in (head, head.head)
    ]
    difference = gradients[0][0] - gradients[1][0]
    torch.testing.assert_close(difference, 0.4 * (features - centers[LABELS]) / N, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("other", [SoftmaxHead, ScaledBatchNormHead, partial(AMSoftmaxHead, scale=10.0)])
def test_weight_0_is_the_other_head(other: type[SoftmaxHead], features: Tensor) -> None:
    torch.manual_seed(0)
    plain = other(D, C).double()
    head = CenterLossHead(D, C, head=other, weight=0.0).double()
    head.head.load_state_dict(plain.state_dict())
    logits = plain(features)
    assert torch.equal(head(features), logits)
    assert torch.equal(head.loss(logits, LABELS, features), plain.loss(logits, LABELS, features))
    assert torch.equal(head.class_weight, plain.class_weight)
    assert torch.equal(head.embed(features), plain.embed(features))


def test_centers_are_no_parameters_and_are_changed_in_place_in_training_only(features: Tensor) -> None:
    head = CenterLossHead(D, C).double()
    centers = head.centers
    assert "centers" in head.state_dict()
    assert not any("centers" in name for name, _ in head.named_parameters())
    head.eval().loss(head(features), LABELS, features)
    assert (centers == 0).all()
    head.train().loss(head(features), LABELS, features)
    assert head.centers is centers
    assert (centers != 0).all()


def test_centers_approach_the_means_of_the_classes(features: Tensor) -> None:
    head = CenterLossHead(D, C).double()
    for _ in range(200):
        head.loss(head(features), LABELS, features)
    means = torch.stack([features[label == LABELS].mean(0) for label in range(C)])
    torch.testing.assert_close(head.centers, means, rtol=1e-9, atol=1e-9)


def test_name_epochs_and_advice_are_the_other_heads() -> None:
    head = CenterLossHead(D, 10, partial(ScheduledScaleHead, scale=0.9, first_scale=0.3, scale_epochs=2))
    assert head.title == "SBN with scheduled scale + center loss"
    head.start_epoch(1)
    assert head.head.norm.scale.item() == pytest.approx(0.6)
    (advice,) = head.advice(torch.full((10,), 100))
    assert "--model.head.head.scale 1.4 " in advice


@pytest.mark.parametrize("setting", [{"weight": -1.0}, {"rate": 1.5}, {"rate": float("nan")}])
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        CenterLossHead(D, C, **setting)
