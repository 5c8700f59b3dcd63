"""Facts about a run that are known before its first step, and about the machine that it runs on."""

import importlib.metadata
import inspect
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from sbn_lightning.run import records
from sbn_lightning.run.records import Results

PACKAGES = ("sbn-lightning", "torch", "torchvision", "lightning", "torchmetrics", "numpy")


def run_facts(trainer: Trainer, pl_module: LightningModule, seed: int) -> Results:
    """Return the record of a run that is about to train: all that is known before its first step."""
    return Results(
        data=data_facts(trainer.datamodule),
        model=records.ModelFacts(module_facts(pl_module, "backbone"), module_facts(pl_module, "head")),
        training=training_facts(trainer, seed),
        hardware=hardware_facts(pl_module.device),
        versions={"python": platform.python_version(), **{name: package_version(name) for name in PACKAGES}},
        commit=commit(),
    )


def data_facts(data: Any) -> records.DataFacts:
    """Describe the images of a data module."""
    counts = data.class_counts.tolist()
    smallest, largest = counts.index(min(counts)), counts.index(max(counts))
    return records.DataFacts(
        name=type(data).__name__,
        images=dict(data.num_images),
        shape=list(data.image_shape),
        classes=data.num_classes,
        smallest_class=records.ClassFacts(data.class_names[smallest], counts[smallest]),
        largest_class=records.ClassFacts(data.class_names[largest], counts[largest]),
        batch_size=data.batch_size,
        validation=data.validation_stage,
        fingerprint=data.digest,
        augmentation=str(data.augmentation),
    )


def module_facts(pl_module: LightningModule, part: str) -> records.ModuleFacts:
    """Describe the backbone or the head."""
    module: nn.Module = getattr(pl_module, part)
    return records.ModuleFacts(
        name=type(module).__name__,
        settings=pl_module.hparams.get(part, {}).get("init_args", {}),
        parameters=sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad),
        title=getattr(module, "title", ""),
    )


def training_facts(trainer: Trainer, seed: int) -> records.TrainingFacts:
    """Describe how a run is trained."""
    steps = trainer.estimated_stepping_batches
    return records.TrainingFacts(
        seed=int(seed),
        epochs=trainer.max_epochs,
        steps=int(steps) if steps != float("inf") else None,
        steps_per_epoch=int(trainer.num_training_batches),
        last_batch=last_batch_size(trainer),
        devices=trainer.world_size,
        precision=str(trainer.precision),
        gradient_clip=trainer.gradient_clip_val or None,
        optimizer=[describe_optimizer(optimizer) for optimizer in trainer.optimizers],
        schedule=[describe_schedule(config.scheduler) for config in trainer.lr_scheduler_configs],
    )


def last_batch_size(trainer: Trainer) -> int:
    """Return the number of images in an epoch's last batch; a full one if limit_train_batches cuts the epoch short."""
    loader = trainer.train_dataloader
    size: int = loader.last_batch_size if trainer.num_training_batches == len(loader) else loader.batch_size
    return size


def hardware_facts(device: torch.device) -> records.HardwareFacts:
    """Describe the device that trains and the machine's processor."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return records.HardwareFacts(device.type, name, os.cpu_count())


def cpu_name() -> str:
    """Return the processor's model where Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def peak_memory(device: torch.device) -> int | None:
    """Return the largest number of bytes so far: allocated on a GPU, else resident in this process.

    None on a system that does not tell it (Windows).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return None
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes * (1 if platform.system() == "Darwin" else 1024)


def describe_optimizer(optimizer: Optimizer) -> str:
    """Return the class and the settings that differ from its defaults, e.g. `SGD(lr=0.1, momentum=0.9)`."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(type(optimizer)).parameters.items()}
    settings = {"lr": optimizer.defaults["lr"]} | {
        name: value for name, value in optimizer.defaults.items() if name in defaults and value != defaults[name]
    }
    return f"{type(optimizer).__name__}({', '.join(f'{name}={value}' for name, value in settings.items())})"


def describe_schedule(scheduler: Any) -> str:
    """Return what the learning rate does, e.g. `learning rate ×0.1 after epochs 30, 60, 90`."""
    if hasattr(scheduler, "milestones") and hasattr(scheduler, "gamma"):
        return f"learning rate ×{scheduler.gamma} after epochs {', '.join(map(str, sorted(scheduler.milestones)))}"
    return type(scheduler).__name__


def package_version(name: str) -> str | None:
    """Return the version of an installed package, None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return the commit of the git checkout that the run was started in, with a mark if files differ from it.

    None outside of a checkout.
    """
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
