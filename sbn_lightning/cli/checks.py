"""What is refused before anything is built, though the parser accepts it; and what is refused while it is built."""

import inspect
import os
import re
import typing
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from sbn_lightning.callbacks import ChanceLevel
from sbn_lightning.classifier import Classifier
from sbn_lightning.cli.messages import at, class_at, class_names
from sbn_lightning.data import ImageDataModule
from sbn_lightning.errors import UsageError

COMPLAINTS = (ValueError, TypeError, ArithmeticError, ModuleNotFoundError, MisconfigurationException)
"""What constructors raise about their settings; a TypeError only if it is about arguments."""


@contextmanager
def building(
    key: str, kinds: type[Exception] | tuple[type[Exception], ...] = COMPLAINTS, settings: Collection[str] = ()
) -> Iterator[None]:
    """Turn a complaint about the settings at a key into a UsageError, while something is built from them.

    Every other exception is a bug and keeps its traceback.

    Args:
        key: As in optimizer, or model.head.
        kinds: The exceptions that are complaints.
        settings: Names of the settings; the first one that a complaint names is added to the key.
    """
    try:
        yield
    except kinds as error:
        if isinstance(error, TypeError) and not re.search("argument|should be|must be", str(error)):
            raise
        named = [word for word in re.findall(r"\w+", str(error)) if word in settings]
        whole_key = ".".join([key, *named[:1]])
        if not isinstance(error, UsageError):
            raise at(whole_key, str(error) or type(error).__name__) from error
        error.key = error.key or whole_key
        raise


def builder(key: str) -> Callable[..., Any]:
    """Return the function by which jsonargparse builds the class at a key."""

    def build(kind: type, *args: Any, **settings: Any) -> Any:
        with building(key, settings=settings):
            return kind(*args, **settings)

    return build


def check_classes(config: Namespace) -> None:
    """Refuse settings that the parser accepts, but that no class can be built with.

    Raises:
        UsageError: If there is no dataset, or null or a list where settings belong.
    """
    for key, kind in (("trainer", Trainer), ("chance_level", ChanceLevel), ("model", Classifier)):
        check_settings(config[key], kind, key)
    for key in ("data", "optimizer", "lr_scheduler"):
        check_value(config.get(key), key)
    if config.seed_everything is not True and config.seed_everything < 0:
        raise at("seed_everything", f"{config.seed_everything} is not a seed; a seed is 0 or larger")
    if config.data.class_path.endswith(f".{ImageDataModule.__name__}"):  # assumed if only --data.root is given
        raise at("data", f"a dataset is required; known are {', '.join(class_names(ImageDataModule))}")


def check_settings(settings: Any, kind: Callable[..., Any], key: str) -> None:
    """Refuse null for a parameter of a class that must have a value; jsonargparse hands it to the constructor."""
    if not isinstance(settings, Namespace):
        raise at(key, f"{settings!r} is not a set of settings; write them as KEY: VALUE")
    parameters = constructor_parameters(kind)
    for name, value in vars(settings).items():
        if value is None and name in parameters and not may_be_none(parameters[name]):
            wanted = parameters[name].annotation
            wanted = wanted.__name__ if isinstance(wanted, type) else wanted
            raise at(f"{key}.{name}", f"null is not a valid {wanted}; omit the key to use its default")
        check_value(value, f"{key}.{name}")


def check_value(value: Any, key: str) -> None:
    """Check the settings of a class, or of each class of a list; any other value is good."""
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, Namespace) and isinstance(entry.get("class_path"), str):
            check_settings(entry.get("init_args") or Namespace(), class_at(entry.class_path), key)


def constructor_parameters(kind: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return what a class is built with, including what its `**options` pass on to its base class."""
    own = dict(inspect.signature(kind).parameters)
    if isinstance(kind, type) and any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
        return constructor_parameters(kind.__mro__[1]) | own
    return own


def may_be_none(parameter: inspect.Parameter) -> bool:
    """Whether None is the parameter's default or of its type, as far as the type is known."""
    annotation = parameter.annotation
    known = annotation not in (inspect.Parameter.empty, Any) and not isinstance(annotation, str)
    return not known or parameter.default is None or type(None) in typing.get_args(annotation)


def check_folder(run_dir: Path) -> None:
    """Refuse a run's folder that cannot be made or written to.

    Raises:
        UsageError: If it, or the first folder above it that exists, is a file or not writable.
    """
    place = next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        reason = "writable" if place.is_dir() else "a folder"
        raise UsageError(
            f"the run's folder cannot be {run_dir}: {place} is not {reason}; use another --run_dir", "run_dir"
        )


def check_devices(accelerator: Any, devices: Any) -> None:
    """Refuse more CPU processes than cores: Lightning would start them all. It checks GPUs itself.

    Raises:
        UsageError: If devices exceeds the number of CPU cores, or is below 1 on them.
    """
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    count = int(devices) if re.fullmatch(r"-?\d+", str(devices)) else 1
    cores = os.cpu_count() or 1
    if on_cpu and not 1 <= count <= cores:
        text = f"trainer.devices is {count}; without a GPU it is from 1 to {cores}, the number of CPU cores"
        raise UsageError(text, "trainer.devices")


def check_clipping(trainer: Namespace, optimizer: Namespace | None) -> None:
    """Refuse to clip gradients that a fused optimizer unscales by itself: Lightning would fail at the first step.

    Raises:
        UsageError: If all of mixed precision, a fused optimizer and gradient clipping are asked for.
    """
    fused = optimizer is not None and (optimizer.get("init_args") or Namespace()).get("fused")
    if trainer.gradient_clip_val and fused and "mixed" in str(trainer.precision):
        raise UsageError(
            f"trainer.gradient_clip_val is {trainer.gradient_clip_val}, but a fused optimizer in mixed precision "
            "leaves no gradients to clip; add --optimizer.fused false",
            "trainer.gradient_clip_val",
        )
