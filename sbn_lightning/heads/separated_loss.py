"""How low scaled batch normalization lets the loss get, and which scale is large enough."""

import math

import torch
from torch import Tensor

HIGH_LOSS = 0.1  # in nats: above it, the scale is what keeps the training loss up


def separation_advice(class_counts: Tensor, scale: float, parts: str = "samples") -> list[str]:
    """Name a larger scale where even perfectly separated classes would have a loss above 0.1 nats; a sentence or none.

    Args:
        class_counts: (C,) The weight of each class in the statistics, as a rule its number of training samples.
        scale: The scale of the normalized logits.
        parts: What is counted, in the words of the sentence.
    """
    counts = class_counts.detach().cpu().double()
    if (counts > 0).sum() < 2:
        return ["Fewer than two classes have training samples: there is nothing to tell apart."]
    frequencies = counts / counts.sum()
    loss = separated_loss(frequencies, scale)
    if loss <= HIGH_LOSS:
        return []
    return [
        f"Scale {scale:g} is small for this training set of {len(counts)} classes, the largest with "
        f"{frequencies.max():.1%} of the {parts}: even perfectly separated classes have a loss of {loss:.2f}. "
        f"--model.head.scale {sufficient_scale(frequencies):g} brings that to {HIGH_LOSS:g} or less."
    ]


def separated_loss(class_frequencies: Tensor, scale: float) -> float:
    """Return the cross-entropy, in nats, of perfectly separated classes after scaled batch normalization.

    Where class k's logit takes one value on its own samples and another on all others, normalization leaves no choice:
    it becomes scale * b_k on its own samples and -scale * a_k on the others, with

        a_k = sqrt(pi_k / (1 - pi_k)),    b_k = 1 / a_k
        L = sum_k pi_k * log(1 + sum_{j != k} exp(-scale * (a_j + b_k)))

    Equal frequencies give log(1 + (C - 1) * exp(-scale * C / sqrt(C - 1))). A frequent class has a small b_k: its own
    samples can hardly be distinguished.

    Args:
        class_frequencies: (C,) pi, each class's share of the training samples. The logit of an empty class is 0.
        scale: The scale of the normalized logits, > 0.
    """
    pi = class_frequencies.double()
    others = torch.sqrt(pi / (1 - pi))
    own = torch.sqrt((1 - pi) / pi)
    terms = torch.exp(-scale * others)
    # exp(-scale * (a_j + b_k)) is a product: one sum over all j, less the term j = k, serves every k
    losses = torch.log1p(torch.exp(-scale * own) * (terms.sum() - terms))
    return (pi * losses).sum().item()


def sufficient_scale(class_frequencies: Tensor) -> float:
    """Return the smallest scale, rounded up to two significant digits, whose `separated_loss` is at most `HIGH_LOSS`.

    Raises:
        ValueError: If one class holds all samples, where no scale is sufficient.
    """
    if not class_frequencies.max() < 1:
        raise ValueError("one class holds all samples: its logits are normalized to 0 by any scale")
    high = 1.0
    while separated_loss(class_frequencies, high) > HIGH_LOSS:
        high *= 2
    low = 0.0
    for _ in range(20):  # the loss falls with the scale: halve the interval that holds the answer
        middle = (low + high) / 2
        is_too_small = separated_loss(class_frequencies, middle) > HIGH_LOSS
        low, high = (middle, high) if is_too_small else (low, middle)
    digits = 1 - math.floor(math.log10(high))
    return math.ceil(high * 10**digits) / 10**digits
