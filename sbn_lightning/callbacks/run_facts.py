"""What can be said of a run before its first step, as plain data for results.json."""

import importlib.metadata
import inspect
import os
import platform
import resource
import subprocess
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

PACKAGES = ("sbn-lightning", "torch", "torchvision", "lightning", "torchmetrics", "numpy")


def run_facts(trainer: Trainer, pl_module: LightningModule, seed: int | bool) -> dict[str, Any]:
    """Data, model, training, hardware, versions and commit of a run that is about to train."""
    return {
        "data": data_facts(trainer.datamodule),
        "model": {part: module_facts(pl_module, part) for part in ("backbone", "head")},
        "training": training_facts(trainer, seed),
        "hardware": hardware_facts(pl_module.device),
        "versions": {"python": platform.python_version()} | {name: package_version(name) for name in PACKAGES},
        "commit": commit(),
    }


def data_facts(data: Any) -> dict[str, Any]:
    """Name, sizes and classes of the data module, its smallest and largest class, and what each epoch ends with."""
    counts = data.class_counts.tolist()
    smallest, largest = counts.index(min(counts)), counts.index(max(counts))
    return {
        "name": type(data).__name__,
        "images": data.num_images,
        "shape": list(data.image_shape),
        "classes": data.num_classes,
        "smallest_class": {"name": data.class_names[smallest], "training_images": counts[smallest]},
        "largest_class": {"name": data.class_names[largest], "training_images": counts[largest]},
        "batch_size": data.batch_size,
        "validation": data.validation_stage,
        "fingerprint": data.digest,
        "augmentation": str(data.augmentation),
    }


def module_facts(pl_module: LightningModule, part: str) -> dict[str, Any]:
    """Class, settings as the command line gave them, and number of trainable parameters of backbone or head."""
    module: nn.Module = getattr(pl_module, part)
    parameters = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    settings = pl_module.hparams.get(part, {}).get("init_args", {})
    return {"name": type(module).__name__, "settings": settings, "parameters": parameters}


def training_facts(trainer: Trainer, seed: int | bool) -> dict[str, Any]:
    """Epochs, steps, devices, precision, optimizer and schedule."""
    steps = trainer.estimated_stepping_batches
    return {
        "seed": seed,
        "epochs": trainer.max_epochs,
        "steps": int(steps) if steps != float("inf") else None,
        "steps_per_epoch": int(trainer.num_training_batches),
        "last_batch": last_batch_size(trainer),
        "devices": trainer.world_size,
        "precision": str(trainer.precision),
        "gradient_clip": trainer.gradient_clip_val or None,
        "optimizer": [describe_optimizer(optimizer) for optimizer in trainer.optimizers],
        "schedule": [describe_schedule(config.scheduler) for config in trainer.lr_scheduler_configs],
    }


def last_batch_size(trainer: Trainer) -> int:
    """Images in an epoch's last batch; a full one where limit_train_batches cuts the epoch short."""
    loader = trainer.train_dataloader
    return loader.last_batch_size if trainer.num_training_batches == len(loader) else loader.batch_size


def hardware_facts(device: torch.device) -> dict[str, Any]:
    """The device that trains, and the machine's processor cores."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return {"device": device.type, "name": name, "cpu_cores": os.cpu_count()}


def cpu_name() -> str:
    """The processor's model where Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def peak_memory(device: torch.device) -> int:
    """Bytes at the highest: allocated on a GPU, else resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes * (1 if platform.system() == "Darwin" else 1024)


def describe_optimizer(optimizer: Optimizer) -> str:
    """Class and the settings that differ from its defaults, e.g. `SGD(lr=0.1, momentum=0.9)`."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(type(optimizer)).parameters.items()}
    settings = {"lr": optimizer.defaults["lr"]} | {
        name: value for name, value in optimizer.defaults.items() if name in defaults and value != defaults[name]
    }
    return f"{type(optimizer).__name__}({', '.join(f'{name}={value}' for name, value in settings.items())})"


def describe_schedule(scheduler: Any) -> str:
    """What the learning rate does, e.g. `learning rate ×0.1 after epochs 30, 60, 90`."""
    if hasattr(scheduler, "milestones") and hasattr(scheduler, "gamma"):
        return f"learning rate ×{scheduler.gamma} after epochs {', '.join(map(str, sorted(scheduler.milestones)))}"
    return type(scheduler).__name__


def package_version(name: str) -> str | None:
    """Version of an installed package."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Commit of the git checkout that the run was started in, marked where files differ from it; None outside of
    one."""
    try:
        git = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return git.stdout.strip() or None
