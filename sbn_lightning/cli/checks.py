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


def check_classes(config: Namespace) -> None:
    """Refuse settings that the parser accepts, but that no class can be built with.

    Raises:
        UsageError: If there is no dataset, or null or a list where settings belong.
    """
    for key, kind in (("trainer", Trainer), ("chance_level", ChanceLevel), ("model", Classifier)):
        if not isinstance(config[key], Namespace):
            raise at(key, f"{config[key]!r} is not a set of settings; write them as KEY: VALUE")
        check_nulls(config[key], key, kind)
    for key in ("data", "optimizer", "lr_scheduler"):
        check_nulls(config.get(key), key)
    if config.seed_everything is not True and config.seed_everything < 0:
        raise at("seed_everything", f"{config.seed_everything} is not a seed; a seed is 0 or larger")
    if config.data.class_path.endswith(f".{ImageDataModule.__name__}"):  # assumed if only --data.root is given
        raise at("data", f"a dataset is required; known are {', '.join(class_names(ImageDataModule))}")


def check_nulls(value: Any, key: str, kind: Callable[..., Any] | None = None) -> None:
    """Refuse null for a parameter that must have a value; jsonargparse hands it to the constructor.

    Args:
        value: The settings of a class, or several classes; every other value is good.
        key: Where it stands.
        kind: The class, if the value does not name it.
    """
    if isinstance(value, list):
        for entry in value:
            check_nulls(entry, key)
    elif isinstance(value, Namespace):
        if isinstance(value.get("class_path"), str):
            kind, value = class_at(value.class_path), value.get("init_args") or Namespace()
        types = required_types(kind) if kind else {}
        for name, setting in vars(value).items():
            if setting is None and name in types:
                wanted = types[name].__name__ if isinstance(types[name], type) else types[name]
                raise at(f"{key}.{name}", f"null is not a valid {wanted}; omit the key to use its default")
            check_nulls(setting, f"{key}.{name}")


def required_types(kind: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of a class's parameters, also of those that `**options` pass on, that None does not fit."""
    parameters = inspect.signature(kind).parameters.values()
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    types = required_types(kind.__mro__[1]) if passes_on and isinstance(kind, type) else {}
    for parameter in parameters:
        wanted = parameter.annotation
        unknown = wanted in (inspect.Parameter.empty, Any) or isinstance(wanted, str)
        if unknown or parameter.default is None or type(None) in typing.get_args(wanted):
            types.pop(parameter.name, None)
        else:
            types[parameter.name] = wanted
    return types


def check_folder(run_dir: Path) -> None:
    """Refuse a run's folder that is, or lies in, a file or a folder that is not writable."""
    place = next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        reason = f"{place} is not {'writable' if place.is_dir() else 'a folder'}"
        raise UsageError(f"the run's folder cannot be {run_dir}: {reason}; use another --run_dir", "run_dir")


def check_devices(accelerator: Any, devices: Any) -> None:
    """Refuse a number of CPU processes below 1, or above the number of cores: Lightning would start them all."""
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    count = int(devices) if re.fullmatch(r"-?\d+", str(devices)) else 1
    cores = os.cpu_count() or 1
    if on_cpu and not 1 <= count <= cores:
        text = f"trainer.devices is {count}; without a GPU it is from 1 to {cores}, the number of CPU cores"
        raise UsageError(text, "trainer.devices")


def check_clipping(trainer: Namespace, optimizer: Namespace | None) -> None:
    """Refuse to clip gradients in mixed precision with a fused optimizer: Lightning would fail at the first step."""
    fused = optimizer is not None and (optimizer.get("init_args") or Namespace()).get("fused")
    if trainer.gradient_clip_val and fused and "mixed" in str(trainer.precision):
        text = "gradients cannot be clipped by a fused optimizer in mixed precision; add --optimizer.fused false"
        raise at("trainer.gradient_clip_val", text)
