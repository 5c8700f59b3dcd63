"""What callbacks do on two processes, whose shares of the batches differ in size; on_two_processes.py trains them."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@pytest.fixture(scope="module")
def events(two_processes: Path) -> EventAccumulator:
    """Of a step on 8 + 5 images and a validation on 8 + 5 and 8."""
    events = EventAccumulator(str(two_processes / "callbacks"))
    events.Reload()
    return events


@torch.no_grad()
def test_histograms_hold_the_logits_of_all_processes(events, classifier, data):
    logits = torch.cat([classifier(images) for images, _ in data.val_batches])
    true_class = torch.cat([classifier(images)[range(len(y)), y] for images, y in data.val_batches])
    for tag, values in {"logits/all": logits, "logits/true_class": true_class}.items():
        (event,) = events.Histograms(tag)
        expected, _ = np.histogram(values.clamp(-2.99, 2.99).numpy(), bins=12, range=(-3, 3))
        assert event.histogram_value.bucket == expected.tolist()
        assert event.histogram_value.sum == pytest.approx(values.sum().item(), rel=1e-5)


@torch.no_grad()
def test_gradient_weights_every_sample_alike_whatever_its_process(events, classifier, data):
    per_sample = []
    for images, labels in data.train_batches[:2]:
        y = torch.eye(3)[labels]
        per_sample.append((classifier(images).softmax(1) - y).norm(dim=1))
    assert len(per_sample[0]) != len(per_sample[1])
    (event,) = events.Scalars("gradient/logit_norm")
    assert event.value == pytest.approx(torch.cat(per_sample).mean().item(), rel=1e-6)


def test_only_the_first_process_writes(two_processes, events):
    assert len(list((two_processes / "callbacks").glob("events.out.tfevents.*"))) == 1
    for tag in ["class_weight/norm_mean", "logits/mean", "gradient/head_norm"]:
        assert len(events.Scalars(tag)) == 1
    assert len(events.Images("figure2/logits")) == len(events.Images("figure3/class_weight_norm")) == 1


def test_processes_stop_together_when_one_of_them_meets_nan(two_processes):
    error = (two_processes / "error").read_text()
    (text,) = [line for line in error.splitlines() if line.startswith("sbn: ")]
    assert "the loss of step 3 is NaN or infinite" in text
    assert "Traceback" not in error
    assert list(two_processes.rglob("*.ckpt")) == []


@torch.no_grad()
def test_pictures_of_the_end_are_of_the_images_of_all_processes(two_processes, classifier, data):
    logits = torch.cat([classifier(images) for images, _ in data.val_batches])
    labels = torch.cat([y for _, y in data.val_batches])
    probability, predicted = logits.softmax(1).max(1)
    *_, right = torch.load(two_processes / "confusion.pt")
    assert right == f"{(predicted == labels).sum()} of 21 right, held-out images"
    _, captions, _, mistakes = torch.load(two_processes / "mistakes.pt")
    wrong = (predicted != labels).nonzero().flatten()
    assert mistakes.startswith(f"{len(wrong)} of {len(wrong)} mistakes")
    shares = [float(caption.split("\n")[2]) for caption in ast.literal_eval(captions)]
    assert shares == pytest.approx(probability[wrong].sort(descending=True).values.tolist(), abs=5e-4)
