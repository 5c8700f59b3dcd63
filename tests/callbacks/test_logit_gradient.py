import pytest
import torch
import torch.nn.functional as F

from sbn_lightning.callbacks import LogitGradient


def test_values_are_those_of_the_logging_steps_batches(fit, recorder):
    events = fit(LogitGradient(), recorder, log_every_n_steps=3)
    written = {name: events.Scalars(f"gradient/{name}") for name in ["logit_norm", "share_confident", "head_norm"]}
    for points in written.values():
        assert [point.step for point in points] == [2, 5]  # of steps 0 to 7
    for i, step in enumerate([2, 5]):
        logits, labels = recorder.train[step]
        logits = logits.clone().requires_grad_()
        # The gradient of each sample's loss, by autograd: what eq. 8 says is p - y.
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), logits)
        confident = logits.softmax(1)[range(len(labels)), labels] > 0.99
        assert written["logit_norm"][i].value == pytest.approx(gradient.norm(dim=1).mean().item(), rel=1e-5)
        assert written["share_confident"][i].value == pytest.approx(confident.float().mean().item())
        assert written["head_norm"][i].value == pytest.approx(recorder.head_gradient_norm[step], rel=1e-5)


def test_confident_samples_are_counted_and_send_hardly_any_gradient(fit, classifier, data):
    classifier.head.linear.weight.data.zero_()
    classifier.head.linear.bias.data = torch.tensor([10.0, 0.0, 0.0])  # logits (20, 0, 0): p_0 = 1 - 4e-9
    data.train_batches = [(torch.zeros(4, 4), torch.tensor([0, 0, 0, 1]))]
    events = fit(LogitGradient(), model=classifier, data=data, max_epochs=1, log_every_n_steps=1)
    assert events.Scalars("gradient/share_confident")[0].value == pytest.approx(3 / 4)
    # ‖p − y‖ is 0 for three samples, and ‖(1, −1, 0)‖ for the one that is wrong.
    assert events.Scalars("gradient/logit_norm")[0].value == pytest.approx(2**0.5 / 4, rel=1e-6)


def test_accumulated_batches_give_one_point_a_step(fit, recorder):
    events = fit(LogitGradient(), recorder, accumulate_grad_batches=2, log_every_n_steps=1)
    points = events.Scalars("gradient/logit_norm")
    assert [point.step for point in points] == [0, 1, 2, 3]  # 8 batches
    logits, labels = recorder.train[1]  # the first step's last batch
    expected = (logits.softmax(1) - F.one_hot(labels, 3)).norm(dim=1).mean().item()
    assert points[0].value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("every", "steps"), [(2, [1, 5, 9]), (4, [3, 7, 11]), (3, [2, 5, 8])])
def test_smaller_last_batch_is_left_out_of_curves_of_batches_unless_all_logged_ones_are_such(fit, data, every, steps):
    loader = data.train_dataloader

    def with_smaller_last_batch():  # steps 3, 7 and 11
        batches = loader()
        batches.has_smaller_last_batch = True
        return batches

    data.train_dataloader = with_smaller_last_batch
    events = fit(LogitGradient(), data=data, max_epochs=3, log_every_n_steps=every)
    for tag in ["gradient/logit_norm", "gradient/head_norm", "train/batch_loss", "train/batch_accuracy"]:
        assert [point.step for point in events.Scalars(tag)] == steps


def test_head_without_trainable_parameters_has_no_head_norm(fit, classifier):
    classifier.head.requires_grad_(False)
    events = fit(LogitGradient(), model=classifier)
    assert "gradient/head_norm" not in events.Tags()["scalars"]
    assert len(events.Scalars("gradient/logit_norm")) == 4


@pytest.mark.parametrize(
    ("settings", "times"), [({"log_every_n_steps": 4}, 2), ({"log_every_n_steps": 0}, 0), ({"logger": False}, 0)]
)
def test_nothing_is_computed_where_nothing_is_logged(fit, monkeypatch, settings, times):
    computed, one_hot = [], F.one_hot
    monkeypatch.setattr(F, "one_hot", lambda *args: computed.append(args) or one_hot(*args))
    fit(LogitGradient(), **settings)
    assert len(computed) == times
