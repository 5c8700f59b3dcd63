"""The commands that train or evaluate (fit, validate, test, predict), by LightningCLI."""

import inspect
import logging
import os
import re
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar  # noqa: F401  (the first is found in configs)
from lightning.pytorch.cli import (
    LightningArgumentParser,
    LightningCLI,
    LRSchedulerTypeTuple,
    SaveConfigCallback,
    instantiate_class,
)
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.optim import Optimizer

import sbn_lightning.backbones
import sbn_lightning.heads  # noqa: F401  (found by name in configs)
from sbn_lightning.callbacks import ChanceLevel, Dashboard, DivergenceGuard, LossBar, MetricsLogger, RunRecord
from sbn_lightning.checkpointing.changed_settings import ChangedSchedule, run_settings
from sbn_lightning.checkpointing.checkpoint_file import AtomicCheckpointIO
from sbn_lightning.checkpointing.load import OpenedRun, open_run
from sbn_lightning.checkpointing.save import CheckpointRule, RunCheckpoint
from sbn_lightning.classifier import Classifier
from sbn_lightning.cli.checks import building, check_classes, check_clipping, check_devices, check_folder
from sbn_lightning.cli.commands import COMMANDS
from sbn_lightning.cli.parser import ArgumentParser
from sbn_lightning.data import ImageDataModule
from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import CHECKPOINTS, CONFIG, RESULTS
from sbn_lightning.run.lock import run_lock
from sbn_lightning.run.records import BrokenRecordError, read_results

EXPECTED_WARNINGS = (
    ".*LeafSpec.*",  # Lightning's own code on torch 2.15
    ".*callbacks used to create the checkpoint",  # evaluation saves nothing
    "TensorFloat32 tensor cores",  # heads are computed in full float32
    "Checkpoint directory .* exists and is not empty",  # a run that continues
    "The `srun` command is available",  # a hint meant for whole clusters
)
"""Warnings by Lightning about intended behaviour."""

OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "run_dir": (str | None, None, "The run's folder. Default: runs/NAME for --config NAME.yaml, or a run's own."),
    "ckpt_path": (
        str | None,
        None,
        "A checkpoint file, or `last` or `best` of the run. Default: none for fit, else last.",
    ),
    "auto_resume": (bool, False, "Whether fit continues from the run's last checkpoint, if there is one."),
    "weights_only": (Literal[True], True, "Checkpoints are always read without running code."),
}
"""{option: (type, default, help)}."""


class SaveConfig(SaveConfigCallback):
    """Saves the whole config of a training run as config.yaml in its folder, wherever the loggers write."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        run_dir = Path(trainer.default_root_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, run_dir / CONFIG, skip_none=False, overwrite=True, multifile=self.multifile)


class ConfigCLI(LightningCLI):
    """The configs and options of a run: the same keys for every command that takes --config.

    Args:
        command: As the user writes it.
        arguments: The command line after the command.
    """

    def __init__(self, command: str, arguments: Sequence[str]) -> None:
        super().__init__(
            Classifier,
            ImageDataModule,
            save_config_callback=SaveConfig if command == "fit" else None,
            save_config_kwargs={"overwrite": True, "save_to_log_dir": False},
            trainer_defaults={"enable_model_summary": False},
            seed_everything_default=0,
            parser_kwargs={
                "usage": f"sbn {command} --config CONFIG [--KEY VALUE ...]",
                "description": COMMANDS[command].text,
            },
            parser_class=ArgumentParser,
            subclass_mode_data=True,
            args=list(arguments),
            run=False,
            auto_configure_optimizers=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name, (kind, default, text) in OPTIONS.items():
            parser.add_argument(f"--{name}", type=kind, default=default, help=text)
        parser.add_class_arguments(CheckpointRule, "checkpoint")
        parser.add_class_arguments(ChanceLevel, "chance_level")
        parser.add_optimizer_args((Optimizer,))
        parser.add_lr_scheduler_args(LRSchedulerTypeTuple)
        parser.link_arguments("data.num_classes", "model.num_classes", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)
        check_classes(self.config)


class TrainerCLI(ConfigCLI):
    """`sbn fit`, `validate`, `test` and `predict`: everything is built, and `run` carries the command out.

    A run has one folder, `run_dir`: config.yaml, results.json, metrics.jsonl, metrics.csv, TensorBoard events, and in
    checkpoints/ last.ckpt and previous.ckpt, the one before it (and best.ckpt, if images are held out to choose it by).

    Args:
        command, arguments: See ConfigCLI.
        until_the_end: Holds the run's lock; closed by the caller.

    Raises:
        UsageError: If the arguments do not fit the parser, each other, the machine, or the content of run_dir.
        LockedError: If another process trains or tests in run_dir.
        SystemExit: With 0 if --auto_resume finds that the run is complete.
    """

    def __init__(self, command: str, arguments: Sequence[str], until_the_end: ExitStack) -> None:
        self.command = command
        self.until_the_end = until_the_end
        super().__init__(command, arguments)

    # What is refused before anything is built.

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        config = self.config
        self.run_dir = Path(config.run_dir) if config.run_dir else default_run_dir(config.config)
        check_folder(self.run_dir)
        check_devices(config.trainer.accelerator, config.trainer.devices)
        check_clipping(config.trainer, config.get("optimizer"))
        if config.trainer.default_root_dir is not None:
            text = f"trainer.default_root_dir is {config.trainer.default_root_dir}; a run's folder is set by --run_dir"
            raise UsageError(text, "trainer.default_root_dir")
        if self.command in ("fit", "test") and is_first_process():
            self.until_the_end.enter_context(run_lock(self.run_dir))

        plain = yaml.safe_load(parser.dump(config, skip_link_targets=False, skip_none=False))
        self.settings = run_settings(plain)
        self.opened = open_run(self.run_dir, self.command, config.ckpt_path, config.auto_resume, plain)
        if self.command == "fit" and self.opened:
            self._say_what_is_continued(self.opened, config.auto_resume)
        # config.yaml belongs to the folder it lies in, wherever that is moved; the next start chooses its checkpoint.
        config.run_dir, config.ckpt_path, config.auto_resume = None, None, False

    def _say_what_is_continued(self, opened: OpenedRun, auto_resume: bool) -> None:
        if opened.complete and has_results(self.run_dir):  # else it was killed just before it wrote them
            if not auto_resume:
                raise UsageError(opened.complete_text())
            say(opened.complete_text())
            raise SystemExit(0)
        say(f"Continues   {opened.path}, after step {opened.step:,}")
        if opened.changes:
            changes = (f"{setting} {there} → {here}" for setting, (there, here) in opened.changes.items())
            say(f"Changed     {', '.join(changes)}")

    # What is built.

    def instantiate_trainer(self, **settings: Any) -> Trainer:
        config, is_fit = self.config_init, self.command == "fit"
        checkpoints, step = AtomicCheckpointIO(), None
        if self.opened:
            step = self.opened.step
            self.opened.check_weights(self.model)
            checkpoints.read[self.opened.path] = self.opened.content
            self.opened.content = {}  # it is handed over, and not kept
            settings["num_sanity_val_steps"] = 0  # done when the run started; it would clear the metrics
        plugins = as_list(config.trainer.plugins)
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            settings["plugins"] = [*plugins, checkpoints]
        if self.datamodule.validation_stage is None:
            settings["limit_val_batches"] = 0
        if not is_fit:
            settings["enable_checkpointing"] = False
        # Only training logs: a test would add an event file of its own.
        settings["logger"] = loggers(config.trainer.logger, self.run_dir, step) if is_fit else False
        settings["callbacks"] = self.callbacks()
        with building("trainer", settings=tuple(config.trainer.keys())):
            return super().instantiate_trainer(default_root_dir=str(self.run_dir), **settings)

    def callbacks(self) -> list[Callback]:
        """Return the command's callbacks in the order in which Lightning calls them.

        DivergenceGuard comes first, so that the others need not know what to do about NaN. Lightning puts checkpoint
        callbacks last, and adds SaveConfig.
        """
        config, folder = self.config_init, self.run_dir / CHECKPOINTS
        configured = as_list(config.trainer.callbacks)
        callbacks: list[Callback] = [DivergenceGuard(str(folder)), *configured]
        callbacks += [config.chance_level, RunRecord(str(self.run_dir), config.seed_everything), Dashboard()]
        if config.trainer.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in configured):
            callbacks.append(LossBar())
        saves = config.trainer.enable_checkpointing is not False and not config.trainer.fast_dev_run
        if self.command == "fit" and saves:
            held_out = self.datamodule.validation_stage == "val"
            callbacks.append(RunCheckpoint(folder, self.settings, config.checkpoint, keep_best=held_out))
        if self.opened and any(key.startswith(("optimizer.", "lr_scheduler.")) for key in self.opened.changes):
            callbacks.append(ChangedSchedule())
        return callbacks

    def after_instantiate_classes(self) -> None:
        config = self.config_init
        if config.get("optimizer"):
            with building("optimizer", settings=tuple(config.optimizer.init_args.keys())):
                optimizer = instantiate_class(self.model.parameters(), config.optimizer)
            with building("lr_scheduler"):
                scheduler = config.get("lr_scheduler") and instantiate_class(optimizer, config.lr_scheduler)
            self.model.configure_optimizers = lambda: self.configure_optimizers(self.model, optimizer, scheduler)
            self.model.lr_scheduler_step = self.lr_scheduler_step

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Lightning's hook of the model."""
        with building("lr_scheduler"):  # a schedule may know only here how many steps it was made for
            LightningModule.lr_scheduler_step(self.model, scheduler, metric)

    def run(self) -> None:
        """Carry out the command. RunRecord prints and writes what Lightning would."""
        options: dict[str, Any] = {"datamodule": self.datamodule, "ckpt_path": self.opened and self.opened.path}
        if self.command != "fit":
            options["return_predictions" if self.command == "predict" else "verbose"] = False
        with building("trainer", MisconfigurationException):
            try:
                getattr(self.trainer, self.command)(self.model, **options)
            except ValueError as error:
                # Lightning puts the settings that it refuses in backticks; all else is a bug, or a message already.
                named = set(re.findall(r"`(\w+)`", str(error))) & set(inspect.signature(Trainer).parameters)
                if named and not isinstance(error, UsageError):
                    raise MisconfigurationException(str(error)) from error
                raise


def run_trainer(arguments: Sequence[str]) -> None:
    """Carry out `sbn fit`, `validate`, `test` or `predict`, given the whole command line after `sbn`."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)  # RunRecord prints what matters
    for pattern in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", pattern)
    with ExitStack() as until_the_end:
        TrainerCLI(arguments[0], arguments[1:], until_the_end).run()


def has_results(run_dir: Path) -> bool:
    """Whether the training has written what it gave; a damaged file is written again."""
    try:
        return read_results(run_dir).fit is not None
    except BrokenRecordError:
        return False


def loggers(configured: Any, run_dir: Path, continues_at: int | None) -> list[Logger]:
    """Return a training's loggers: those of the config, or otherwise TensorBoard's; and the one of metrics.jsonl."""
    if configured in (None, True):
        # Events from that step on will be written again: of a run killed before its first checkpoint, all of them.
        configured = TensorBoardLogger(
            run_dir, name="", version="", default_hp_metric=False, purge_step=continues_at or 0
        )
    return [*([] if configured is False else as_list(configured)), MetricsLogger(str(run_dir), continues_at)]


def as_list(value: Any) -> list[Any]:
    """Return what may be given as nothing, one thing or several, as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value] if value is not None else []


def is_first_process() -> bool:
    """Whether this is the first of all processes of a training, on all nodes; known before they are connected."""
    return rank_zero_only.rank == 0 and os.environ.get("NODE_RANK", "0") == "0"


@rank_zero_only
def say(text: str) -> None:
    """Print a text once, not from every process."""
    print(text, flush=True)


def default_run_dir(configs: Sequence[Any] | None) -> Path:
    """Return the folder of a run's own config.yaml, or else runs/NAME for NAME.yaml (of two: runs/NAME_OTHER)."""
    if not configs:
        return Path("runs/unnamed")
    paths = [Path(str(config)) for config in configs]
    in_run = (paths[0].parent / RESULTS).is_file()
    return paths[0].parent if in_run else Path("runs") / "_".join(path.stem for path in paths)
