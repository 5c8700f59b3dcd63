"""Every private part of jsonargparse that is used, and why; a test of each fails when jsonargparse moves it."""

from argparse import Action
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jsonargparse import ArgumentParser, _typehints


def actions_of(parser: ArgumentParser) -> list[Action]:
    """Return what a parser knows: argparse has no public way to list its options, which `did you mean` proposes."""
    return parser._actions


@contextmanager
def settings_of_another_class_forgotten() -> Iterator[None]:
    """While parsing, drop a class's settings when a later config or option names another class.

    jsonargparse keeps those that the new class has too: `--model.head AMSoftmaxHead` after a config with scaled batch
    normalization would train AM-Softmax with the other head's scale.
    """
    original = _typehints.discard_init_args_on_class_path_change
    _typehints.discard_init_args_on_class_path_change = forget_settings
    try:
        yield
    finally:
        _typehints.discard_init_args_on_class_path_change = original


def forget_settings(parser: Any, previous: Any, value: Any) -> None:
    """Takes the place of jsonargparse's function of this signature."""
    if previous and "init_args" in previous and previous["class_path"] != value["class_path"]:
        vars(previous["init_args"]).clear()
