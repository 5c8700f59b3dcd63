"""A small classifier that is not trained but answers, and images for it."""

import torch

from sbn_lightning import AMSoftmaxHead, Classifier, Head, PEDCCHead, ScaledBatchNormHead, SmallCNN, SoftmaxHead

HEADS = [SoftmaxHead, ScaledBatchNormHead, AMSoftmaxHead, PEDCCHead]


def trained(head: type[Head] = ScaledBatchNormHead, width: int = 4) -> Classifier:
    """A classifier whose running statistics are of two batches."""
    torch.manual_seed(0)
    classifier = Classifier(SmallCNN(width), head, 7, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
    for _ in range(2):
        classifier.train()(pixels(16))
    return classifier.eval()


def pixels(count: int, height: int = 12, width: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(256, (count, 3, height, width), generator=generator, dtype=torch.uint8)
