"""How sure an accuracy is that was measured on a number of images."""

import math

Z = 1.959964
"""The standard normal distribution's quantile 0.975."""


def wilson(correct: int, images: int) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval for the accuracy on images like these, fractions in [0, 1].

        (k + z² / 2 ± z · √(k (n - k) / n + z² / 4)) / (n + z²),    k correct of n images

    It stays within [0, 1], and is right for few images and accuracies near 1, too. It is about the images that were
    drawn only: another training, with another seed, differs besides.
    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Args:
        correct: k, 0 <= k <= n.
        images: n, >= 1.
    """
    middle = correct + Z**2 / 2
    half = Z * math.sqrt(correct * (images - correct) / images + Z**2 / 4)
    return max(0.0, (middle - half) / (images + Z**2)), min(1.0, (middle + half) / (images + Z**2))


def interval_text(correct: int, images: int) -> str:
    """Return e.g. `95 %: 44 to 71 %`, with one digit more than those that are the same at both ends."""
    low, high = (100 * end for end in wilson(correct, images))
    digits = max(0, 1 - math.floor(math.log10(high - low)))
    return f"95 %: {low:.{digits}f} to {high:.{digits}f} %"
