import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PROGRAM = Path(__file__).with_name("fit_on_two_processes.py")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A step on 8 + 5 images and a validation on 8 + 5 and 8, so the processes' shares differ in size."""
    folder = tmp_path_factory.mktemp("run")
    result = subprocess.run([sys.executable, PROGRAM, folder], capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def events(run_folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(run_folder))
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


def test_only_the_first_process_writes(run_folder, events):
    assert len(list(run_folder.glob("events.out.tfevents.*"))) == 1
    for tag in ["class_weight/norm_mean", "logits/mean", "gradient/head_norm"]:
        assert len(events.Scalars(tag)) == 1
    assert len(events.Images("figure2/logits")) == len(events.Images("figure3/class_weight_norm")) == 1
