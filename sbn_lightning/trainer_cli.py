"""The commands of the trainer (fit, validate, test, predict), by LightningCLI."""

import logging
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar, RichProgressBar  # noqa: F401  (found in configs)
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

import sbn_lightning.backbones
import sbn_lightning.heads  # noqa: F401  (found by name in configs)
from sbn_lightning.argument_parser import ArgumentParser
from sbn_lightning.callbacks import ChanceLevel, Dashboard, DivergenceGuard, PredictionWriter, RunSummary
from sbn_lightning.checkpoints import (
    check_model,
    check_unfinished,
    check_weights,
    checkpoint_callbacks,
    find_checkpoint,
)
from sbn_lightning.classifier import Classifier
from sbn_lightning.cli import COMMANDS, UsageError
from sbn_lightning.data import ImageDataModule
from sbn_lightning.start_checks import check_classes, check_folder


class SaveConfig(SaveConfigCallback):
    """Saves the whole config of a training run as config.yaml in its folder; evaluation leaves it as it is.

    Without the checkpoint that this start continues: the next start from the file is to choose for itself.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **kwargs: Any) -> None:
        super().__init__(parser, config.clone(), **kwargs)
        self.config.ckpt_path = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            super().setup(trainer, pl_module, stage)


class TrainerCLI(LightningCLI):
    """`sbn fit`, `validate`, `test` and `predict`.

    A run has one folder, `run_dir`: config.yaml, results.json, TensorBoard events, checkpoints/last.ckpt (and best.ckpt
    where images are held out to choose it by).

    Args:
        arguments: The command line after `sbn`.

    Raises:
        UsageError: If the arguments do not fit the parser, each other, the machine, or what lies in run_dir.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
            logging.getLogger(name).setLevel(logging.WARNING)  # RunSummary says what matters
        warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning's own code on torch 2.15
        warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint")  # evaluation saves nothing
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # a run that continues
        super().__init__(
            Classifier,
            ImageDataModule,
            subclass_mode_data=True,
            seed_everything_default=0,
            save_config_callback=SaveConfig,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={"enable_model_summary": False},
            parser_class=ArgumentParser,
            parser_kwargs={
                name: {"usage": f"sbn {name} --config CONFIG [--KEY VALUE ...]", "description": COMMANDS[name]}
                for name in self.subcommands()
            },
            args=list(arguments),
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="The run's folder. Default: runs/NAME for --config NAME.yaml, and for a run's config its own folder.",
        )
        parser.add_lightning_class_args(ChanceLevel, "chance_level")
        parser.link_arguments("data.num_classes", "model.num_classes", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        # RunSummary and PredictionWriter say and write what Lightning would print and collect.
        quiet = {"validate": {"verbose": False}, "test": {"verbose": False}, "predict": {"return_predictions": False}}
        parser.set_defaults({"weights_only": True, **quiet.get(subcommand, {})})
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)
        config = self.config[self.config.subcommand]
        check_classes(config)
        self.run_dir = Path(config.run_dir) if config.run_dir else default_run_dir(config.config)
        check_folder(self.run_dir)
        config.run_dir = None  # config.yaml belongs to the folder it lies in, wherever that is moved
        config.ckpt_path = find_checkpoint(self.run_dir / "checkpoints", self.config.subcommand, config.ckpt_path)
        check_devices(config.trainer.accelerator, config.trainer.devices)
        if config.weights_only is not True:
            raise UsageError("weights_only must be true: without it, a checkpoint could run any code that it carries")

    def _parse_ckpt_path(self) -> None:
        """Build the command's own model, never one that a checkpoint names: its class paths would be imported."""
        config = self.config[self.config.subcommand]
        if config.ckpt_path is not None:
            self._dump_config()
            check_model(config.ckpt_path, self.config_dump["model"])
            if self.config.subcommand == "fit":
                check_unfinished(config.ckpt_path, config.trainer.max_epochs)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        if (checkpoint := self._get(self.config, "ckpt_path")) is not None:
            check_weights(checkpoint, self.model)
        callbacks: list[Callback] = [
            RunSummary(str(self.run_dir), self._get(self.config, "seed_everything")),
            Dashboard(),
            DivergenceGuard(str(self.run_dir / "checkpoints")),
        ]
        config = self._get(self.config_init, "trainer")
        if config.default_root_dir is not None:
            raise UsageError(
                f"trainer.default_root_dir is {config.default_root_dir}; a run's folder is set by --run_dir"
            )
        if self.subcommand != "fit":
            kwargs["enable_checkpointing"] = False
        elif config.enable_checkpointing is not False:
            callbacks += checkpoint_callbacks(self.run_dir / "checkpoints", self.datamodule.validation_stage == "val")
        if self.datamodule.validation_stage is None:
            kwargs["limit_val_batches"] = 0
        configured = config.callbacks if isinstance(config.callbacks, list) else [config.callbacks]
        own_bar = any(isinstance(callback, ProgressBar) for callback in configured)
        if config.enable_progress_bar is not False and not own_bar:
            callbacks.append(RichProgressBar(refresh_rate=10))  # a bar drawn in every step takes part of a core
        if self.subcommand == "predict":
            callbacks.append(PredictionWriter(str(self.run_dir)))
        self.trainer_defaults["callbacks"] = callbacks
        if config.logger in (None, True):
            # Only training writes events; a test beside them must not add an event file of its own.
            kwargs["logger"] = (
                TensorBoardLogger(self.run_dir, name="", version="", default_hp_metric=False)
                if self.subcommand == "fit"
                else False
            )
        trainer = super().instantiate_trainer(default_root_dir=str(self.run_dir), **kwargs)
        # The guard comes first: the other callbacks need not know what to do about NaN.
        trainer.callbacks.sort(key=lambda callback: not isinstance(callback, DivergenceGuard))
        return trainer


def default_run_dir(configs: Sequence[Any] | None) -> Path:
    """The folder of a run's own config.yaml, or else runs/NAME for a config NAME.yaml."""
    if not configs:
        return Path("runs/unnamed")
    config = Path(str(configs[0]))
    return config.parent if (config.parent / "results.json").is_file() else Path("runs") / config.stem


def check_devices(accelerator: Any, devices: Any) -> None:
    """Refuse more CPU processes than cores: Lightning would start them all. It checks GPUs itself.

    Raises:
        UsageError: If devices exceeds the number of CPU cores, or is below 1 on them.
    """
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    count = int(devices) if re.fullmatch(r"-?\d+", str(devices)) else 1
    cores = os.cpu_count() or 1
    if on_cpu and count < 1:
        raise UsageError(f"trainer.devices is {devices}; without a GPU, it is a number of processes from 1 to {cores}")
    if on_cpu and count > cores:
        raise UsageError(
            f"trainer.devices is {count}, but this machine has no GPU and {cores} CPU cores; use at most {cores}"
        )
