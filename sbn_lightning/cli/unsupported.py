"""What the parser accepts, and cannot work in a training by `sbn`: refused with the reason and what to do instead."""

from collections.abc import Iterator
from typing import Any

import torch
from jsonargparse import Namespace

from sbn_lightning.cli.messages import at

CLASSES = {
    "LearningRateFinder": "it sets the learning rate of the model, and here the optimizer has its own; compare a few "
    "values of --optimizer.lr on held-out images (--data.validation_fraction 0.1)",
    "BatchSizeFinder": "it would train with another batch size than the config says; set --data.batch_size",
    "ModelPruning": "it replaces parameters that the optimizer already has, and its checkpoints cannot be continued; "
    "prune the trained model instead",
    "Timer": "its settings cannot be stored; set --trainer.max_time DD:HH:MM:SS, which does the same",
    "ModelParallelStrategy": "it leaves to the model what is divided among the processes; choose --trainer.strategy "
    "sharded_head, which divides the head's classes",
    "LBFGS": "it evaluates a batch several times in one step, which the metrics and the running statistics would count "
    "as several batches; choose another optimizer, such as SGD or AdamW",
    "SparseAdam": "it needs sparse gradients, and those of images are dense; choose another optimizer, such as AdamW",
    "AsyncCheckpointIO": "sbn writes a checkpoint as a whole before it goes on, so that no kill can damage it; leave "
    "the plugin out",
    "DeepSpeedPrecision": "it works only within the strategy deepspeed, which sets it by itself; leave the plugin out",
    "TransformerEnginePrecision": "a config cannot say which weights_dtype; set --trainer.precision transformer-engine",
    "XLAProfiler": "it measures TPUs, for which sbn is not made; choose PyTorchProfiler",
    "BaseFinetuning": "it is the base of others and does nothing by itself; choose BackboneFinetuning",
    "LRScheduler": "it is the base of all schedules and does nothing by itself; choose one, such as MultiStepLR",
    "torch.optim.lr_scheduler.ReduceLROnPlateau": "torch's class does not know which metric to follow; write "
    "--lr_scheduler ReduceLROnPlateau --lr_scheduler.monitor train/loss",
}
"""{name or import path of a class: why it cannot be used, and what to do}."""

SETTINGS = {
    "trainer.callbacks": {"save_last": "last.ckpt is written by sbn itself; leave save_last out"},
    "lr_scheduler": {"last_epoch": "a schedule is continued from the run's checkpoint; leave last_epoch out"},
    "optimizer": {"differentiable": "nothing is differentiated through the optimizer's steps; leave it out"},
}
"""{key: {a setting of the classes there, if it is neither false nor -1: why it cannot be used, and what to do}}."""


def check_supported(config: Namespace) -> None:
    """Refuse settings with which training would fail, or do something else than it says."""
    trainer = config.trainer
    if trainer.barebones:
        raise at("trainer.barebones", "true is not supported: it forbids the checkpoints and the metrics of a run")
    if any(word in str(trainer.strategy) for word in ("spawn", "fork", "notebook")):
        raise at("trainer.strategy", f"{trainer.strategy} is not supported; use ddp, which starts the command again")
    chosen = {"optimizer": config.get("optimizer"), "lr_scheduler": config.get("lr_scheduler")}
    chosen |= {f"trainer.{key}": trainer[key] for key in ("callbacks", "plugins", "logger", "profiler", "strategy")}
    for key, value in chosen.items():
        for path, settings in classes_in(value):
            name = path.rpartition(".")[2]
            reason = CLASSES.get(path) or CLASSES.get(name)
            if reason and path.startswith(("torch.", "lightning.")):
                raise at(key, f"{name} cannot be used: {reason}")
            if settings.get("dump_stats") and not settings.get("dirpath"):
                raise at(f"{key}.dump_stats", f"it needs a folder to write to; set --{key}.dirpath DIR")
            if settings.get("emit_nvtx") and not torch.cuda.is_available():
                raise at(f"{key}.emit_nvtx", "it is for NVIDIA GPUs, and there is none here; leave it out")
            for setting, reason in SETTINGS.get(key, {}).items():
                value = settings.get(setting)
                if value not in (None, -1) and value is not False and path.startswith(("torch.", "lightning.")):
                    raise at(f"{key}.{setting}", reason)


def classes_in(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield (import path, settings) of each class that is chosen at a key: none, one or several; by name or not."""
    for chosen in value if isinstance(value, list) else [value]:
        if isinstance(chosen, Namespace) and "class_path" in chosen:
            yield chosen.class_path, chosen.get("init_args") or {}
        elif isinstance(chosen, str):
            yield chosen, {}
