"""An exported model in onnxruntime against PyTorch, and a folded head against a plain linear layer."""

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from sbn_lightning import Backbone, Classifier, ResNet18, ScaledBatchNormHead, SoftmaxHead
from sbn_lightning.deploy.export.formats import FORMATS
from sbn_lightning.deploy.export.inference_model import InferenceModel
from tests.benchmarks.comparison import Comparison, Row, compare, timed

CLASSES, SIDE = 100, 64
REPETITIONS, MANY = 15, 61
"""The second for a difference of a hundredth."""
PIECES = {1: 20, 64: 1}
"""{images in a batch: batches in one repetition}."""


def rows() -> Iterator[Row]:
    """ResNet-18 with the stem for small images, 64 × 64 pixels, on a CPU."""
    torch.manual_seed(0)
    classifier = Classifier(ResNet18(), ScaledBatchNormHead, CLASSES).eval()
    for batch in PIECES:
        what = f"ONNX in onnxruntime against eager PyTorch, ResNet-18, {SIDE} × {SIDE}, batch {batch}"
        yield in_onnxruntime(classifier, SIDE, batch, REPETITIONS).speed_row(what, "at least 1×")
    what = f"folded SBN model against the same net with a plain linear layer, ResNet-18, {SIDE} × {SIDE}, batch 64"
    yield folded(classifier.backbone, SIDE, 64, MANY).time_row(what, "1.00 ± 0.01×")


def in_onnxruntime(classifier: Classifier, side: int, batch: int, repetitions: int) -> Comparison:
    """Compare the seconds of an image, from uint8 images to probabilities, with the same number of threads."""
    images = random_images(batch, side)
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as folder:
        file = Path(folder) / "model.onnx"
        content = io.BytesIO()
        FORMATS["onnx"].write(InferenceModel(classifier), (side, side), {}, content)
        file.write_bytes(content.getvalue())
        answer = FORMATS["onnx"].read(file)
        ours, theirs = (steps(step, images) for step in (answer, lambda images: classifier(images).softmax(1)))
        return compare(ours, theirs, repetitions)


def folded(backbone: Backbone, side: int, batch: int, repetitions: int) -> Comparison:
    """Compare the seconds of an image of an exported model with those of its backbone and a layer of PyTorch."""
    images = random_images(batch, side)
    ours = InferenceModel(Classifier(backbone, ScaledBatchNormHead, CLASSES))
    plain = Classifier(backbone, SoftmaxHead, CLASSES)
    theirs = nn.Sequential(plain.normalization, ours.backbone, plain.head.linear, nn.Softmax(1)).eval()
    return compare(steps(ours, images), steps(theirs, images), repetitions)


def steps(answer: Callable[[Tensor], object], images: Tensor) -> Callable[[], float]:
    """How to measure the seconds of an image."""
    pieces = PIECES.get(len(images), 1)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(pieces):
                answer(images)

    run()  # what only the first one takes
    return timed(run, pieces * len(images))


def random_images(batch: int, side: int) -> Tensor:
    """Return uint8 (batch, 3, side, side)."""
    return torch.randint(256, (batch, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
