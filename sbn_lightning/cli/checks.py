"""What is refused before anything is built, though the parser accepts it; and what is refused while it is built."""

import os
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer

from sbn_lightning.cli.messages import at, class_names
from sbn_lightning.data import ImageDataModule
from sbn_lightning.errors import UsageError

AMOUNTS = {
    "fit": ("limit_train_batches", "max_epochs", "max_steps"),
    "validate": ("limit_val_batches",),
    "test": ("limit_test_batches",),
    "predict": ("limit_predict_batches",),
}
"""{command: settings with which it would do nothing if they were 0}."""


@contextmanager
def building(key: str, settings: Container[str] = (), also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn a complaint about the settings at a key into a UsageError, while something is built from them.

    Exceptions of other kinds are bugs and keep their traceback. The first of the settings' names that a complaint
    contains is added to the key.

    Args:
        also: Other exceptions that are complaints, where no code but that of Lightning and torch is run.
    """
    try:
        yield
    except (ValueError, TypeError, ArithmeticError, ModuleNotFoundError, MisconfigurationException, *also) as error:
        if isinstance(error, TypeError) and not re.search("argument|should be|must be", str(error)):
            raise
        named = [word for word in re.findall(r"\w+", str(error)) if word in settings]
        whole_key = ".".join([key, *named[:1]])
        if not isinstance(error, UsageError):
            raise at(whole_key, str(error) or type(error).__name__) from error
        error.key = error.key or whole_key
        raise


def check_sections(config: Namespace, defaults: Namespace) -> None:
    """Refuse what the parser accepts, but nothing can be built with: null or a list as a section, or no dataset."""
    for key in ("trainer", "chance_level", "checkpoint", "model"):
        if not isinstance(config[key], Namespace):
            raise at(key, f"{config[key]!r} is not a set of settings; write them as KEY: VALUE")
        if not vars(defaults[key]).keys() <= vars(config[key]).keys():  # options made a set of it
            raise at(key, "a config gives it a value that is not a set of settings; write them as KEY: VALUE")
    for key, value in config.items():
        if isinstance(value, int) and abs(value) >= 2**63:
            raise at(key, f"{value} is too large; an integer is below 2**63")
    if config.trainer.default_root_dir is not None:
        raise at("trainer.default_root_dir", "the folder of a run is set by --run_dir")
    if config.seed_everything is not True and not 0 <= config.seed_everything < 2**32:
        raise at("seed_everything", f"{config.seed_everything} is not a seed; a seed is from 0 to {2**32 - 1}")
    if config.data.class_path.endswith(f".{ImageDataModule.__name__}"):  # assumed if only --data.root is given
        raise at("data", f"a dataset is required; known are {', '.join(class_names(ImageDataModule))}")


def check_folder(run_dir: Path) -> None:
    """Refuse a run's folder that is, or lies in, a file or a folder that is not writable."""
    place = next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        reason = f"{place} is not {'writable' if place.is_dir() else 'a folder'}"
        raise UsageError(f"the run's folder cannot be {run_dir}: {reason}; use another --run_dir", "run_dir")


def check_devices(accelerator: Any, devices: Any) -> None:
    """Refuse an accelerator that is not there, and a number of CPU processes below 1, or above the number of cores:
    Lightning would start them all."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if not {"gpu": cuda or mps, "cuda": cuda, "mps": mps}.get(str(accelerator).lower(), True):
        reason = "" if torch.version.cuda else ", as it is built without CUDA"
        raise at(
            "trainer.accelerator",
            f"torch {torch.__version__} finds no such device ({accelerator}) here{reason}; leave the option out, and "
            "sbn takes the fastest device that there is, or set --trainer.accelerator cpu",
        )
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    count = int(devices) if re.fullmatch(r"-?\d+", str(devices)) else 1
    cores = os.cpu_count() or 1
    if on_cpu and not 1 <= count <= cores:
        text = f"it is {count}; without a GPU it must be from 1 to {cores}, the number of CPU cores"
        raise at("trainer.devices", text)


def check_clipping(trainer: Namespace, optimizer: Namespace | None) -> None:
    """Refuse to clip gradients in mixed precision with a fused optimizer: Lightning would fail at the first step."""
    fused = optimizer is not None and (optimizer.get("init_args") or Namespace()).get("fused")
    if trainer.gradient_clip_val and fused and "mixed" in str(trainer.precision):
        text = "gradients cannot be clipped by a fused optimizer in mixed precision; add --optimizer.fused false"
        raise at("trainer.gradient_clip_val", text)


def check_amounts(trainer: Namespace, command: str, ckpt_path: str | None) -> None:
    """Refuse a command without any batch, and a trial, which keeps nothing, of a training that is continued; and what
    Lightning would divide by, or understand, only when it trains."""
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        if trainer[key] is not None and trainer[key] < 1:
            raise at(f"trainer.{key}", f"it is {trainer[key]}, and must be 1 or larger")
    with building("trainer.max_time"):
        Timer(trainer.max_time)
    for name in AMOUNTS[command]:
        if trainer[name] == 0:
            done = "trained" if command == "fit" else "evaluated"
            raise at(f"trainer.{name}", f"it is 0, so nothing would be {done}; omit it, or set a larger value")
    if command == "fit" and trainer.fast_dev_run and ckpt_path:
        text = "it tries a new training and keeps nothing, so it cannot continue one; omit --ckpt_path or fast_dev_run"
        raise at("trainer.fast_dev_run", text)
