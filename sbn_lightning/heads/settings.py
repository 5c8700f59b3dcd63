"""What the settings of heads must be, said in the same words for all of them."""

import math


def check_positive(**settings: float) -> None:
    """Refuse settings, given by their names, that are 0, negative, infinite or NaN.

    Raises:
        ValueError: With the first such name and its value.
    """
    for name, value in settings.items():
        check_finite(name, value)
        if value <= 0:
            raise ValueError(f"{name} must be positive, got {value}")


def check_at_least(lowest: int, **settings: float) -> None:
    """Refuse settings, given by their names, that are below a number, infinite or NaN.

    Raises:
        ValueError: With the first such name and its value.
    """
    for name, value in settings.items():
        check_finite(name, value)
        if value < lowest:
            raise ValueError(f"{name} must be at least {lowest}, got {value}")


def check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}")
