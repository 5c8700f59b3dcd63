"""Facts about a run that are known before its first step, and about the machine that it runs on."""

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from sbn_lightning.run import facts, records

PACKAGES = ("sbn-lightning", "torch", "torchvision", "lightning", "torchmetrics", "numpy")


def run_facts(
    trainer: Trainer, pl_module: LightningModule, training: facts.TrainingFacts, command: str = ""
) -> records.Results:
    """Return the record of a run that is about to train: all that is known before its first step."""
    device = pl_module.device
    return records.Results(
        data=data_facts(trainer.datamodule),
        model=facts.ModelFacts(module_facts(pl_module, "backbone"), module_facts(pl_module, "head")),
        training=training,
        hardware=facts.HardwareFacts(
            device=device.type,
            name=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
            cpu_cores=os.cpu_count(),
        ),
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        commit=commit(),
        started=records.now(),
        commands=[command] if command else [],
    )


def data_facts(data: Any) -> facts.DataFacts:
    counts = zip(data.class_names, data.class_counts.tolist(), strict=True)
    classes = [facts.ClassFacts(name, count) for name, count in counts]
    return facts.DataFacts(
        name=type(data).__name__,
        images=dict(data.num_images),
        shape=list(data.image_shape),
        classes=data.num_classes,
        smallest_class=min(classes, key=lambda facts: facts.training_images),
        largest_class=max(classes, key=lambda facts: facts.training_images),
        batch_size=data.batch_size,
        validation=data.validation_stage,
        fingerprint=data.digest,
        augmentation=str(data.augmentation),
        class_names=list(data.class_names),
        evaluation_batch_size=data.evaluation_batch_size,
    )


def module_facts(pl_module: LightningModule, part: str) -> facts.ModuleFacts:
    module, settings = getattr(pl_module, part), flat_settings(pl_module.hparams.get(part, {}).get("init_args", {}))
    settings.pop("download", None)  # where weights came from does not change what they are
    parameters = sum(parameter.numel() for parameter in module.parameters())  # those that are frozen, too
    return facts.ModuleFacts(type(module).__name__, settings, parameters, title=getattr(module, "title", ""))


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> facts.Settings:
    """Return the settings of a class, and of classes among them as in {"head": "SoftmaxHead", "head.scale": 3.0}."""
    flat: facts.Settings = {}
    for name, value in settings.items():
        is_class = isinstance(value, Mapping) and "class_path" in value
        flat[prefix + name] = value["class_path"].rpartition(".")[2] if is_class else value
        flat |= flat_settings(value.get("init_args") or {}, f"{prefix}{name}.") if is_class else {}
    return flat


def cpu_name() -> str:
    """Return the processor's model where Linux tells it, else its architecture."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def peak_memory(device: torch.device) -> int | None:
    """Return the largest number of bytes so far: allocated on a GPU, else resident in this process; None on Windows,
    which does not tell it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


def commit() -> str | None:
    """Return the commit of the git checkout that the run was started in, marked if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None
