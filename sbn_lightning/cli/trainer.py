"""The commands of the trainer (fit, validate, test, predict), by LightningCLI."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor  # noqa: F401  (found in configs)
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

import sbn_lightning.backbones
import sbn_lightning.heads  # noqa: F401  (found by name in configs)
from sbn_lightning.callbacks import ChanceLevel, DivergenceGuard, MetricsCSV
from sbn_lightning.checkpointing.atomic_io import AtomicCheckpointIO
from sbn_lightning.checkpointing.changed_schedule import ChangedSchedule
from sbn_lightning.checkpointing.compare_settings import (
    changes,
    changes_text,
    completed_text,
    has_results,
    is_complete,
    run_settings,
)
from sbn_lightning.checkpointing.load import check_model, check_weights, find_checkpoint
from sbn_lightning.checkpointing.safe_reading import Stored, read_checkpoint
from sbn_lightning.classifier import Classifier
from sbn_lightning.cli.checks import check_classes, check_clipping, check_devices, check_folder
from sbn_lightning.cli.commands import COMMANDS
from sbn_lightning.cli.parser import ArgumentParser
from sbn_lightning.cli.trainer_parts import (
    CheckpointRule,
    SaveConfig,
    as_list,
    checkpoint_callbacks,
    loggers,
    own_callbacks,
)
from sbn_lightning.data import ImageDataModule
from sbn_lightning.errors import UsageError

UNIMPORTANT = (
    ".*LeafSpec.*",  # Lightning's own code on torch 2.15
    ".*callbacks used to create the checkpoint",  # evaluation saves nothing
    "TensorFloat32 tensor cores",  # heads are computed in full float32
    "Checkpoint directory .* exists and is not empty",  # a run that continues
    "The `srun` command is available",  # a hint meant for whole clusters
)
"""Lightning's warnings about what is meant to be so."""


class TrainerCLI(LightningCLI):
    """`sbn fit`, `validate`, `test` and `predict`.

    A run has one folder, `run_dir`: config.yaml, results.json, metrics.csv, TensorBoard events, checkpoints/last.ckpt
    and previous.ckpt, the one before it (and best.ckpt where images are held out to choose it by).

    Args:
        arguments: The command line after `sbn`.

    Raises:
        UsageError: If the arguments do not fit the parser, each other, the machine, or what lies in run_dir.
        SystemExit: With 0, where --auto_resume finds that the run is complete.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
            logging.getLogger(name).setLevel(logging.WARNING)  # RunSummary says what matters
        for pattern in UNIMPORTANT:
            warnings.filterwarnings("ignore", pattern)
        self.stored: Stored = {}  # what the checkpoint holds that the command starts from
        self.changes: dict[str, tuple[Any, Any]] = {}  # of settings, from those of the training that is continued
        super().__init__(
            Classifier,
            ImageDataModule,
            subclass_mode_data=True,
            seed_everything_default=0,
            save_config_callback=SaveConfig,
            save_config_kwargs={"overwrite": True, "save_to_log_dir": False},
            trainer_defaults={"enable_model_summary": False},
            parser_class=ArgumentParser,
            parser_kwargs={
                name: {"usage": f"sbn {name} --config CONFIG [--KEY VALUE ...]", "description": COMMANDS[name].text}
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
        config.ckpt_path = find_checkpoint(
            self.run_dir / "checkpoints", self.config.subcommand, config.ckpt_path, config.auto_resume
        )
        check_devices(config.trainer.accelerator, config.trainer.devices)
        check_clipping(config.trainer, config.get("optimizer"))
        if config.weights_only is False:
            raise UsageError("weights_only must be true: without it, a checkpoint could run any code that it carries")
        config.weights_only = True

    def _parse_ckpt_path(self) -> None:
        """Build the command's own model, never one that a checkpoint names: its class paths would be imported."""
        config = self.config[self.config.subcommand]
        self._dump_config()
        self.settings = run_settings(self.config_dump)
        if config.ckpt_path is not None:
            self.stored = read_checkpoint(config.ckpt_path)
            check_model(config.ckpt_path, self.stored, self.config_dump["model"])
            if self.config.subcommand == "fit":
                self._check_continued(config)

    def _check_continued(self, config: Namespace) -> None:
        complete = is_complete(config.ckpt_path, self.stored, config.trainer.max_epochs, config.trainer.max_steps)
        self.changes = changes(config.ckpt_path, self.stored, self.settings)
        if complete and has_results(self.run_dir):  # without results, it was killed just before it wrote them
            if not config.auto_resume:
                raise UsageError(completed_text(config.ckpt_path, self.stored))
            say(completed_text(config.ckpt_path, self.stored))
            raise SystemExit(0)
        say(f"Continues   {config.ckpt_path}, after step {self.stored['global_step']:,}")
        if self.changes:
            say(f"Changed     {changes_text(self.changes)}")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        config, checkpoint = self._get(self.config_init, "trainer"), self._get(self.config, "ckpt_path")
        if config.default_root_dir is not None:
            raise UsageError(
                f"trainer.default_root_dir is {config.default_root_dir}; a run's folder is set by --run_dir"
            )
        if checkpoint is not None:
            check_weights(checkpoint, self.stored, self.model)
            kwargs["num_sanity_val_steps"] = 0  # done when the run began; it would clear the metrics
        if not any(isinstance(plugin, CheckpointIO) for plugin in as_list(config.plugins)):
            kwargs["plugins"] = [*as_list(config.plugins), AtomicCheckpointIO()]
        if self.datamodule.validation_stage is None:
            kwargs["limit_val_batches"] = 0

        is_fit = self.subcommand == "fit"
        step = self.stored.get("global_step") if is_fit else None
        metrics = MetricsCSV(str(self.run_dir), continues_at=step)
        # Only training logs: a test would add an event file of its own.
        kwargs["logger"] = [*loggers(config.logger, self.run_dir, step), metrics] if is_fit else False

        callbacks = own_callbacks(
            self.subcommand, config, self.run_dir, self._get(self.config, "seed_everything"), metrics
        )
        if not is_fit:
            kwargs["enable_checkpointing"] = False
        elif config.enable_checkpointing is not False:
            held_out, rule = self.datamodule.validation_stage == "val", self._get(self.config_init, "checkpoint")
            callbacks += checkpoint_callbacks(self.run_dir / "checkpoints", self.settings, rule, held_out)
        if any(key.startswith(("optimizer.", "lr_scheduler.")) for key in self.changes):
            callbacks.append(ChangedSchedule())
        self.trainer_defaults["callbacks"] = callbacks
        trainer = super().instantiate_trainer(default_root_dir=str(self.run_dir), **kwargs)
        # The guard comes first: the other callbacks need not know what to do about NaN.
        trainer.callbacks.sort(key=lambda callback: not isinstance(callback, DivergenceGuard))
        return trainer


def run_trainer(arguments: Sequence[str]) -> None:
    """Carry out `sbn fit`, `validate`, `test` or `predict`, given the whole command line after `sbn`."""
    TrainerCLI(arguments)


def say(text: str) -> None:
    """Tell the user, once and not from every process."""
    if rank_zero_only.rank == 0:
        print(text, flush=True)


def default_run_dir(configs: Sequence[Any] | None) -> Path:
    """The folder of a run's own config.yaml, or else runs/NAME for a config NAME.yaml, runs/NAME_OTHER for two."""
    if not configs:
        return Path("runs/unnamed")
    paths = [Path(str(config)) for config in configs]
    in_run = (paths[0].parent / "results.json").is_file()
    return paths[0].parent if in_run else Path("runs") / "_".join(path.stem for path in paths)
