"""The commands of the trainer (fit, validate, test, predict), by LightningCLI."""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse.typing import PositiveFloat, PositiveInt
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar, RichProgressBar  # noqa: F401  (found in configs)
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

import sbn_lightning.backbones
import sbn_lightning.heads  # noqa: F401  (found by name in configs)
from sbn_lightning.argument_parser import ArgumentParser
from sbn_lightning.callbacks import (
    ChangedSchedule,
    Dashboard,
    EvaluationSummary,
    LossBar,
    MetricsCSV,
    PredictionWriter,
    ProcessState,
    RunCheckpoint,
    RunSummary,
)
from sbn_lightning.checkpoint_io import AtomicCheckpointIO, replace_by_link
from sbn_lightning.checkpoints import check_model, find_checkpoint
from sbn_lightning.classifier import Classifier
from sbn_lightning.cli import COMMANDS, UsageError
from sbn_lightning.data import ImageDataModule
from sbn_lightning.resume import (
    changes,
    changes_text,
    completed_text,
    concerns_optimizer,
    continues_at,
    has_results,
    is_complete,
    run_settings,
)


class CheckpointRule:
    """When a training writes its checkpoint, besides at its end and when it is asked to stop.

    Args:
        every_n_epochs: Epochs between two checkpoints.
        every_n_steps: Optimizer steps between two checkpoints; null for no such rule.
        every_n_minutes: Minutes between two checkpoints; null for no such rule.
    """

    def __init__(
        self,
        every_n_epochs: PositiveInt = 1,
        every_n_steps: PositiveInt | None = None,
        every_n_minutes: PositiveFloat | None = 10.0,
    ) -> None:
        self.every_n_epochs, self.every_n_steps, self.every_n_minutes = every_n_epochs, every_n_steps, every_n_minutes


class SaveConfig(SaveConfigCallback):
    """Saves the whole config of a training run as config.yaml in its folder; evaluation leaves it as it is.

    Without the checkpoint that this start continues, or may: the next start from the file is to choose for itself.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **kwargs: Any) -> None:
        super().__init__(parser, config.clone(), **kwargs)
        self.config.ckpt_path = None
        self.config.auto_resume = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            super().setup(trainer, pl_module, stage)


class TrainerCLI(LightningCLI):
    """`sbn fit`, `validate`, `test` and `predict`.

    A run has one folder, `run_dir`: config.yaml, results.json, TensorBoard events, checkpoints/last.ckpt and
    previous.ckpt, the one before it (and best.ckpt where images are held out to choose it by).

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
        warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")  # heads are computed in full float32
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # a run that continues
        warnings.filterwarnings("ignore", "The `srun` command is available")  # a hint meant for whole clusters
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
            help="The run's folder. Default: runs/NAME for --config NAME.yaml (of two configs: runs/NAME_OTHER), and "
            "for a run's config its own folder.",
        )
        parser.add_argument(
            "--auto_resume",
            type=bool,
            default=False,
            help="Whether fit continues from the run's last checkpoint if there is one, and else starts.",
        )
        parser.add_class_arguments(CheckpointRule, "checkpoint")
        parser.link_arguments("data.num_classes", "model.num_classes", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        # RunSummary and PredictionWriter say and write what Lightning would print and collect.
        quiet = {"validate": {"verbose": False}, "test": {"verbose": False}, "predict": {"return_predictions": False}}
        parser.set_defaults(quiet.get(subcommand, {}))
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)
        config = self.config[self.config.subcommand]
        self.run_dir = Path(config.run_dir) if config.run_dir else default_run_dir(config.config)
        config.run_dir = None  # config.yaml belongs to the folder it lies in, wherever that is moved
        config.ckpt_path = find_checkpoint(
            self.run_dir / "checkpoints", self.config.subcommand, config.ckpt_path, config.auto_resume
        )
        check_devices(config.trainer.accelerator, config.trainer.devices)

    def _parse_ckpt_path(self) -> None:
        """Build the command's own model, never one that a checkpoint names: its class paths would be imported."""
        config = self.config[self.config.subcommand]
        self._dump_config()
        self.settings = run_settings(self.config_dump)
        self.changes: dict[str, tuple[Any, Any]] = {}
        if config.ckpt_path is not None:
            check_model(config.ckpt_path, self.config_dump["model"])
            if self.config.subcommand == "fit":
                self._check_continued(config)

    def _check_continued(self, config: Namespace) -> None:
        complete = is_complete(config.ckpt_path, config.trainer.max_epochs, config.trainer.max_steps)
        self.changes = changes(config.ckpt_path, self.settings)
        if complete and has_results(self.run_dir):  # without results, it was killed just before it wrote them
            if not config.auto_resume:
                raise UsageError(completed_text(config.ckpt_path))
            say(completed_text(config.ckpt_path))
            raise SystemExit(0)
        say(f"Continues   {config.ckpt_path}, after step {continues_at(config.ckpt_path):,}")
        if self.changes:
            say(f"Changed     {changes_text(self.changes)}")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        continued = continues_at(self._get(self.config, "ckpt_path")) if self.subcommand == "fit" else None
        metrics = MetricsCSV(str(self.run_dir), continued)
        callbacks: list[Callback] = [
            RunSummary(str(self.run_dir), self._get(self.config, "seed_everything"), metrics),
            EvaluationSummary(str(self.run_dir)),
            Dashboard(),
        ]
        config = self._get(self.config_init, "trainer")
        if config.default_root_dir is not None:
            raise UsageError(
                f"trainer.default_root_dir is {config.default_root_dir}; a run's folder is set by --run_dir"
            )
        if self.subcommand != "fit":
            kwargs["enable_checkpointing"] = False
        elif config.enable_checkpointing is not False:
            held_out = self.datamodule.validation_stage == "val"
            rule = self._get(self.config_init, "checkpoint")
            callbacks += [
                ProcessState(),
                RunCheckpoint(
                    self.run_dir / "checkpoints",
                    self.settings,
                    rule.every_n_epochs,
                    rule.every_n_steps,
                    rule.every_n_minutes,
                    replace_by_link if held_out else None,
                ),
            ]
            if concerns_optimizer(self.changes):
                callbacks.append(ChangedSchedule())
        if not any(isinstance(plugin, CheckpointIO) for plugin in as_list(config.plugins)):
            kwargs["plugins"] = [*as_list(config.plugins), AtomicCheckpointIO()]
        if self._get(self.config, "ckpt_path") is not None:
            kwargs["num_sanity_val_steps"] = 0  # done when the run began; it would clear the metrics
        if self.datamodule.validation_stage is None:
            kwargs["limit_val_batches"] = 0
        own_bar = any(isinstance(callback, ProgressBar) for callback in as_list(config.callbacks))
        if config.enable_progress_bar is not False and not own_bar:
            callbacks.append(LossBar())
        if self.subcommand == "predict":
            callbacks.append(PredictionWriter(str(self.run_dir)))
        self.trainer_defaults["callbacks"] = callbacks
        kwargs["logger"] = [*self._loggers(config.logger, continued), metrics] if self.subcommand == "fit" else False
        return super().instantiate_trainer(default_root_dir=str(self.run_dir), **kwargs)

    def _loggers(self, configured: Any, continued: int | None) -> list[Logger]:
        """Those of the config, or else TensorBoard's. Only training logs: a test would add an event file of its own."""
        if configured in (None, True):
            # What a run wrote behind the checkpoint from which it continues will be written again.
            return [TensorBoardLogger(self.run_dir, name="", version="", default_hp_metric=False, purge_step=continued)]
        return [] if configured is False else as_list(configured)


def run_trainer(arguments: Sequence[str]) -> None:
    """Carry out `sbn fit`, `validate`, `test` or `predict`, given the whole command line after `sbn`."""
    TrainerCLI(arguments)


def say(text: str) -> None:
    """Tell the user, once and not from every process."""
    if rank_zero_only.rank == 0:
        print(text, flush=True)


def as_list(value: Any) -> list[Any]:
    """What may be given as nothing, one thing or several."""
    return list(value) if isinstance(value, (list, tuple)) else [value] if value is not None else []


def default_run_dir(configs: Sequence[Any] | None) -> Path:
    """The folder of a run's own config.yaml, or else runs/NAME for a config NAME.yaml, runs/NAME_OTHER for two."""
    if not configs:
        return Path("runs/unnamed")
    paths = [Path(str(config)) for config in configs]
    in_run = (paths[0].parent / "results.json").is_file()
    return paths[0].parent if in_run else Path("runs") / "_".join(path.stem for path in paths)


def check_devices(accelerator: Any, devices: Any) -> None:
    """Refuse more CPU processes than cores: Lightning would start them all. It checks GPUs itself.

    Raises:
        UsageError: If devices exceeds the number of CPU cores.
    """
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    count = int(devices) if str(devices).isdigit() else 1
    cores = os.cpu_count() or 1
    if on_cpu and count > cores:
        raise UsageError(
            f"trainer.devices is {count}, but this machine has no GPU and {cores} CPU cores; use at most {cores}"
        )
