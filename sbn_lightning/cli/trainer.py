"""The commands that train or evaluate (fit, validate, test), by LightningCLI."""

import inspect
import os
import re
import shlex
import signal
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, StochasticWeightAveraging
from lightning.pytorch.cli import LightningArgumentParser, instantiate_class
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.optim import Optimizer

from sbn_lightning.callbacks import (
    Dashboard,
    DivergenceGuard,
    EvaluationRecord,
    MetricsLogger,
    Progress,
    TrainingPlan,
    TrainingRecord,
)
from sbn_lightning.callbacks.averaged_statistics import AveragedStatistics
from sbn_lightning.callbacks.training_facts import describe_callbacks
from sbn_lightning.checkpointing.changed_settings import ChangedSchedule, changed_training, run_settings
from sbn_lightning.checkpointing.checkpoint_file import AtomicCheckpointIO
from sbn_lightning.checkpointing.load import OpenedRun, Restoring, open_run
from sbn_lightning.checkpointing.save import RunCheckpoint
from sbn_lightning.cli.before_start import (
    check_monitors,
    check_optimizer,
    check_precision,
    check_processes,
    interval_of,
)
from sbn_lightning.cli.checks import at, building, check_amounts, check_clipping, check_devices, check_folder
from sbn_lightning.cli.lean_trainer import Unprofiled, skip_empty_hooks
from sbn_lightning.cli.parser import ConfigCLI
from sbn_lightning.cli.sharded_head import check_sharded_head
from sbn_lightning.errors import UsageError
from sbn_lightning.normalization import add_normalization
from sbn_lightning.run.continuation import has_recorded, unchanged_if_refused
from sbn_lightning.run.files import CHECKPOINTS, RESULTS, user_path
from sbn_lightning.run.lock import run_lock
from sbn_lightning.tensorboard import BoardLogger
from sbn_lightning.terminal import Row, show


class TrainerCLI(ConfigCLI):
    """`sbn fit`, `validate` and `test`: everything is built, and `run` carries the command out.

    Args:
        command, arguments: See ConfigCLI.
        until_the_end: Holds the run's lock; closed by the caller.

    Raises:
        UsageError: If the arguments do not fit the parser, each other, the machine, or the content of run_dir.
        LockedError: If another process trains or tests in run_dir.
        SystemExit: With 0 if --auto_resume finds that the run is complete.
    """

    def __init__(self, command: str, arguments: Sequence[str], until_the_end: ExitStack) -> None:
        self.command, self.arguments = command, arguments
        self.until_the_end = until_the_end
        super().__init__(command, arguments)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        config = self.config
        self.run_dir = user_path(config.run_dir) if config.run_dir else default_run_dir(config.config)
        check_folder(self.run_dir)
        check_devices(config.trainer.accelerator, config.trainer.devices)
        check_clipping(config.trainer, config.get("optimizer"))
        check_amounts(config.trainer, self.command, config.ckpt_path)
        is_trial = bool(config.trainer.fast_dev_run)  # leaves nothing behind
        if is_first_process() and not is_trial:
            self.until_the_end.enter_context(run_lock(self.run_dir))

        plain = yaml.safe_load(parser.dump(config, skip_link_targets=False, skip_none=False))
        self.settings = run_settings(plain)
        # A trial of a training starts from new weights, in no folder.
        opened = (self.run_dir, self.command, config.ckpt_path, config.auto_resume, plain)
        self.opened = None if is_trial and self.command == "fit" else open_run(*opened)
        if self.command == "fit" and self.opened:
            self._say_what_is_continued(self.opened, config.auto_resume)
        # config.yaml belongs to the folder it lies in, wherever that is moved; the next start chooses its checkpoint.
        config.run_dir, config.ckpt_path, config.auto_resume = None, None, False
        self.allow_other_data, config.allow_other_data = config.allow_other_data, False

    def _say_what_is_continued(self, opened: OpenedRun, auto_resume: bool) -> None:
        # Without a record of its end it was killed just before it wrote one.
        if opened.complete and has_recorded(self.run_dir, opened.epochs, opened.step or 0):
            if not auto_resume:
                raise UsageError(opened.complete)
            say(("Complete", opened.complete))
            raise SystemExit(0)
        say(("Continues", f"{opened.path}, after step {opened.step:,}"))
        if opened.changes:
            changes = (f"{setting} {there} → {here}" for setting, (there, here) in opened.changes.items())
            say(("Changed", ", ".join(changes)))

    def instantiate_trainer(self, **settings: Any) -> Trainer:
        config, is_fit = self.config_init.trainer, self.command == "fit"
        checkpoints, step, metrics_size = AtomicCheckpointIO(), 0, None
        if self.opened:
            step = self.opened.step or 0
            here = self.datamodule.identity()
            self.opened.check_data(here, is_fit, self.allow_other_data)
            add_normalization(self.opened.content["state_dict"], self.opened.run.data or here)
            metrics_size = self.opened.content.get("run", {}).get("metrics_size")
            self.opened.check_weights(self.model)
            checkpoints.read[self.opened.path] = self.opened.content
            self.opened.content = {}  # it is handed over, and not kept
            settings["num_sanity_val_steps"] = 0  # done when the run started; it would clear the metrics
        settings["plugins"] = [*as_list(config.plugins), checkpoints]
        if self.datamodule.validation_stage is None:
            settings["limit_val_batches"] = 0
        if not is_fit:
            settings["enable_checkpointing"] = False
        # Only training logs: a test would add an event file of its own.
        settings["logger"] = loggers(config.logger, self.run_dir, step, metrics_size) if is_fit else False
        settings["callbacks"] = self.callbacks()
        settings["profiler"] = config.profiler or Unprofiled()
        try:
            with building("trainer", config):
                trainer = super().instantiate_trainer(default_root_dir=str(self.run_dir), **settings)
        except RuntimeError as error:
            if "SLURM" not in str(error):
                raise
            raise UsageError(str(error)) from error  # no key of a config is wrong
        skip_empty_hooks(trainer)
        check_processes(trainer, config.sync_batchnorm)
        check_precision(trainer)
        check_sharded_head(trainer, self.model, self.config_init)
        if is_fit:
            stage, schedule = self.datamodule.validation_stage, self.config_init.get("lr_scheduler")
            check_monitors(trainer, self.model, stage, schedule)
        return trainer

    def callbacks(self) -> list[Callback]:
        """Return the command's callbacks in the order in which Lightning calls them.

        DivergenceGuard comes first, so that the others need not know what to do about NaN; then Progress, whose bar is
        gone when others print results. The averaging of weights comes after the user's other callbacks. Lightning puts
        checkpoint callbacks last, and adds SaveConfig.
        """
        config, folder = self.config_init, self.run_dir / CHECKPOINTS
        configured = as_list(config.trainer.callbacks)
        averaging = [one for one in configured if isinstance(one, StochasticWeightAveraging)]
        callbacks: list[Callback] = [DivergenceGuard()]
        if config.trainer.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in configured):
            callbacks.append(Progress())
        callbacks += [one for one in configured if one not in averaging]
        for one in averaging:
            callbacks += [AveragedStatistics(one), one]
        callbacks += [config.chance_level, self.record(configured), Dashboard(), TrainingPlan()]
        saves = config.trainer.enable_checkpointing is not False and not config.trainer.fast_dev_run
        if self.command == "fit" and saves:
            held_out = self.datamodule.validation_stage == "val"
            callbacks.append(RunCheckpoint(folder, self.settings, config.checkpoint, keep_best=held_out))
        if self.opened:
            callbacks.append(Restoring(self.opened.path))
        if self.opened and any(key.startswith(("optimizer.", "lr_scheduler.")) for key in self.opened.changes):
            callbacks.append(ChangedSchedule())
        return callbacks

    def record(self, configured: Sequence[Callback]) -> TrainingRecord | EvaluationRecord:
        """Return the callback that writes down what the command gives, with what it cannot know by itself."""
        if self.command != "fit":
            assert self.opened is not None  # an evaluation without a checkpoint has been refused
            return EvaluationRecord(self.run_dir, self.opened.evaluated(self.run_dir / CHECKPOINTS))
        described = describe_callbacks(configured, as_list(self.config.trainer.callbacks))
        changed = changed_training(self.opened.changes, self.opened.step or 0) if self.opened else []
        command = shlex.join(["sbn", self.command, *self.arguments])
        return TrainingRecord(self.run_dir, self.config_init.seed_everything, described, changed, command)

    def after_instantiate_classes(self) -> None:
        if self.config_init.get("optimizer"):
            self.optimizer_and_schedule()  # to say what is wrong with their settings before anything starts
            if self.command == "fit":
                check_optimizer(self.config, self.trainer.strategy.root_device)
            # Hooks of the model. They are functions, since a method would be copied, with all that is built here, by
            # callbacks that copy the model.
            self.model.configure_optimizers = lambda: self.configured_optimizers()
            self.model.lr_scheduler_step = lambda *step: self.lr_scheduler_step(*step)

    def optimizer_and_schedule(self) -> tuple[Optimizer, Any]:
        """Build the optimizer of the parameters that are trained now, and its schedule, or None.

        BackboneFinetuning has frozen others when training starts.
        """
        config = self.config_init
        with building("optimizer", config.optimizer.init_args):
            trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            optimizer = instantiate_class(trained, config.optimizer)
        with building("lr_scheduler"):
            return optimizer, config.get("lr_scheduler") and instantiate_class(optimizer, config.lr_scheduler)

    def configured_optimizers(self) -> Any:
        with building("optimizer"):
            self.model.check_optimizer(partial(instantiate_class, init=self.config_init.optimizer))
        optimizer, schedule = self.optimizer_and_schedule()
        if interval_of(schedule, self.trainer) == "step":
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
        return self.configure_optimizers(self.model, optimizer, schedule)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        with building("lr_scheduler"):  # a schedule may know only here how many steps it was made for
            LightningModule.lr_scheduler_step(self.model, scheduler, metric)

    def run(self) -> None:
        """Carry out the command. The record prints and writes what Lightning would."""
        options: dict[str, Any] = {"datamodule": self.datamodule, "ckpt_path": self.opened and self.opened.path}
        if self.command != "fit":
            options["verbose"] = False
        restoring = next((one for one in self.trainer.callbacks if isinstance(one, Restoring)), None)
        try:
            with restoring.named() if restoring else nullcontext():
                getattr(self.trainer, self.command)(self.model, **options)
        except (MisconfigurationException, ValueError) as error:
            # Lightning puts the settings that it refuses in backticks; any other ValueError is a bug, or a message.
            named = set(re.findall(r"`(\w+)`", str(error))) & set(inspect.signature(Trainer).parameters)
            if isinstance(error, UsageError) or (isinstance(error, ValueError) and not named):
                raise
            raise at("trainer", str(error)) from error
        except RuntimeError as error:
            if "conditioned on metric" not in str(error):  # of EarlyStopping that looks before it is measured
                raise
            raise at("trainer.callbacks.monitor", str(error).partition(" Pass in")[0]) from error
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # which Lightning turns into exit code 1
                signal.signal(signal.SIGINT, signal.default_int_handler)
                raise end.__context__ from None
            raise


def run_trainer(command: str, fit_options: Sequence[str]) -> None:
    """Carry out `sbn fit`, `validate` or `test`."""
    with ExitStack() as until_the_end:
        cli = TrainerCLI(command, fit_options, until_the_end)
        first_step = cli.opened.step or 0 if cli.opened else 0
        if command == "fit" and is_first_process():
            until_the_end.enter_context(unchanged_if_refused(cli.run_dir, lambda: cli.trainer.global_step > first_step))
        cli.run()


fit, validate, test = (partial(run_trainer, command) for command in ("fit", "validate", "test"))


def loggers(configured: Any, run_dir: Path, continues_at: int, metrics_size: int | None) -> list[Logger]:
    """Return a training's loggers: those of the config, or otherwise TensorBoard's; and the one of metrics.jsonl.

    A training that continues another one is at a step, and the other's metrics.jsonl had a size there.
    """
    if configured in (None, True):
        configured = BoardLogger(run_dir, continues_at)
    return [*as_list(configured or None), MetricsLogger(str(run_dir), continues_at, metrics_size)]


def as_list(value: Any) -> list[Any]:
    """Return what may be given as nothing, one thing or several, as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value] if value is not None else []


def is_first_process() -> bool:
    """Whether this is the first of all processes of a training, on all nodes; known before they are connected."""
    return rank_zero_only.rank == 0 and os.environ.get("NODE_RANK", "0") == "0"


@rank_zero_only
def say(row: Row) -> None:
    """Print a text once, not from every process."""
    show(row)


def default_run_dir(configs: Sequence[Any] | None) -> Path:
    """Return the folder of a run's own config.yaml, or else runs/NAME for NAME.yaml (of two: runs/NAME_OTHER)."""
    if not configs:
        return Path("runs/unnamed")
    paths = [Path(str(config)) for config in configs]
    in_run = (paths[0].parent / RESULTS).exists()
    return paths[0].parent if in_run else Path("runs") / "_".join(path.stem for path in paths)
