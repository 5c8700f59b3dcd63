"""The configs and options of a run: the same keys for every command that takes --config, by LightningCLI's parser."""

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from jsonargparse import DefaultHelpFormatter, Namespace, _typehints
from jsonargparse.typing import register_type
from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.callbacks import LearningRateMonitor  # noqa: F401  (found by name in configs, as are heads)
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, LRSchedulerTypeTuple, SaveConfigCallback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sbn_lightning.backbones import Backbone
from sbn_lightning.callbacks import ChanceLevel
from sbn_lightning.checkpointing.save import CheckpointRule
from sbn_lightning.classifier import Classifier
from sbn_lightning.cli.checks import building, check_sections
from sbn_lightning.cli.configs import TOO_DEEP, with_config_paths
from sbn_lightning.cli.help import wrapped
from sbn_lightning.cli.messages import readable
from sbn_lightning.cli.unsupported import check_supported
from sbn_lightning.data import ImageDataModule
from sbn_lightning.errors import UsageError
from sbn_lightning.heads import Head
from sbn_lightning.run.continuation import config_file

register_type(torch.device, fail_already_registered=False)  # StochasticWeightAveraging has one as a default

CHOICES: dict[str, type] = {
    "chance_level": ChanceLevel,
    "checkpoint": CheckpointRule,
    "model.backbone": Backbone,
    "model.head": Head,
    "data": ImageDataModule,
    "trainer.callbacks": Callback,
    "trainer.logger": Logger,
    "trainer.profiler": Profiler,
    "trainer.strategy": Strategy,
    "trainer.accelerator": Accelerator,
    "optimizer": Optimizer,
    "lr_scheduler": LRScheduler,
}
"""{key: base class} of the keys whose value is a class; the first that fits a class is its key."""
INSIDE: ContextVar[str] = ContextVar("INSIDE", default="")
"""Where a class that is being built may build another one: model.head.head."""
PLUGINS: tuple[type, ...] = (Precision, ClusterEnvironment, CheckpointIO, LayerSync)
"""Base classes of what trainer.plugins may be."""

TITLES = {
    "trainer": "The loop of training, by Lightning's Trainer",
    "model": "The classifier: a backbone and a head",
    "data": "The images",
    "checkpoint": "When a training writes its checkpoint, besides at its end and when it is asked to stop",
    "chance_level": "The warning if the training accuracy is what guessing would give",
    "optimizer": "The optimizer, a class of torch.optim",
    "lr_scheduler": "The learning-rate schedule, a class of torch.optim.lr_scheduler",
}
"""{section: its title in the list of all keys}; the parser's own are the first lines of docstrings."""


class ArgumentParser(LightningArgumentParser):
    """Raises one readable UsageError where jsonargparse would print its usage and exit.

    Takes the names of shipped configs and the folders of runs as configs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def parse_args(self, args: Any = None, namespace: Any = None, **settings: Any) -> Any:
        decides = _typehints.discard_init_args_on_class_path_change  # private, there is no setting for it
        _typehints.discard_init_args_on_class_path_change = forget_settings_of_another_class
        try:
            return super().parse_args(with_config_paths(args), namespace, **settings)
        except RecursionError as error:
            raise UsageError(TOO_DEEP) from error
        finally:
            _typehints.discard_init_args_on_class_path_change = decides

    def format_help(self) -> str:
        """Return the help; in that of a class, the title is the first line of a docstring, and may be too wide."""
        text = super().format_help()
        is_of_a_class = self.formatter_class is not OneLineEach
        return "\n".join(map(wrapped, text.split("\n"))) if is_of_a_class else text

    def validate(self, namespace: Namespace, **settings: Any) -> None:
        """Check the types of all values; then again with those that are null, which jsonargparse accepts everywhere."""
        super().validate(namespace, **settings)  # it knows which required keys are missing
        super().validate(namespace, **{**settings, "skip_unset": False})

    def instantiate(self, namespace: Namespace, *args: Any, **settings: Any) -> Namespace:
        """Build everything; what a constructor complains about becomes a UsageError with the key."""
        bases = [*CHOICES.items(), *(("trainer.plugins", base) for base in PLUGINS)]
        refused: list[UsageError] = []
        builders = [(partial(build, key, refused), base, True) for key, base in bases]
        try:
            return super().instantiate(namespace, *args, **{**settings, "instantiators": builders})
        except ValueError as error:  # jsonargparse's own, if other types are allowed too: it lists what it tried
            raise (refused[-1] if refused else error) from None

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # one of jsonargparse's own attempts: it may still try another type
            super().error(message, ex)
        raise readable(message, self, CHOICES) from ex


def forget_settings_of_another_class(parser: Any, previous: Any, value: Any) -> None:
    """Drop a class's settings when a later config or option names another class.

    jsonargparse, whose function this replaces, keeps those that the new class has too: `--model.head AMSoftmaxHead`
    after a config with scaled batch normalization would train AM-Softmax with the other head's scale.
    """
    if previous and "init_args" in previous and previous["class_path"] != value["class_path"]:
        vars(previous["init_args"]).clear()


def build(key: str, refused: list[UsageError], kind: type, /, *args: Any, **settings: Any) -> Any:
    """Build what is chosen at a key; see `building`. What is refused is kept as well: jsonargparse may hide it.

    A head that builds a head calls this again for it, with the same key.
    """
    is_own = not kind.__module__.startswith(("lightning.", "torch."))
    key = INSIDE.get() if INSIDE.get().startswith(f"{key}.") else key
    before = INSIDE.set(f"{key}.{next((name for name, value in settings.items() if callable(value)), '')}")
    try:
        with building(key, settings, () if is_own else (AssertionError, AttributeError, LookupError, RuntimeError)):
            return kind(*args, **settings)
    except UsageError as error:
        refused.append(error)
        raise
    finally:
        INSIDE.reset(before)


class SaveConfig(SaveConfigCallback):
    """Saves the whole config of a training run as config.yaml in its folder, wherever the loggers write.

    Where it continues a finished run, config.yaml stays as it is until the end; see run.continuation. It is written
    when nothing about the optimizer and its schedule can be refused any more.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Do nothing yet."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().setup(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        run_dir = Path(trainer.default_root_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, config_file(run_dir), skip_none=False, overwrite=True, multifile=self.multifile)


class OneLineEach(DefaultHelpFormatter):
    """Writes each text of a help in one line; see `cli.help`, which breaks it where the terminal ends."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **{**settings, "width": 10**6})


class ConfigCLI(LightningCLI):
    """Parses a command line and its configs.

    Args:
        command: As the user writes it.
        arguments: The command line after the command.
    """

    def __init__(self, command: str, arguments: Sequence[str]) -> None:
        for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
            logging.getLogger(name).setLevel(logging.WARNING)  # the commands print what matters
        super().__init__(
            Classifier,
            ImageDataModule,
            save_config_callback=SaveConfig if command == "fit" else None,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={"enable_model_summary": False},
            seed_everything_default=0,
            parser_kwargs={"formatter_class": OneLineEach},
            parser_class=ArgumentParser,
            subclass_mode_data=True,
            args=list(arguments),
            run=False,
            auto_configure_optimizers=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        run_dir = "The run's folder. Default: runs/NAME for --config NAME.yaml, or a run's own."
        parser.add_argument("--run_dir", type=str | None, help=run_dir)
        ckpt_path = "A checkpoint file, or `last` or `best` of the run. Default: none for fit, else last."
        parser.add_argument("--ckpt_path", type=str | None, help=ckpt_path)
        auto_resume = "Whether fit continues from the run's last checkpoint, if there is one."
        parser.add_argument("--auto_resume", type=bool, default=False, help=auto_resume)
        other_data = "Whether validate and test take other classes or images of another size than in training."
        parser.add_argument("--allow_other_data", type=bool, default=False, help=other_data)
        weights_only = "Checkpoints are always read without running code."
        parser.add_argument("--weights_only", type=Literal[True] | None, default=True, help=weights_only)
        parser.add_class_arguments(CheckpointRule, "checkpoint")
        parser.add_class_arguments(ChanceLevel, "chance_level")
        parser.add_optimizer_args((Optimizer,))
        parser.add_lr_scheduler_args(LRSchedulerTypeTuple)
        parser.link_arguments("data.num_classes", "model.num_classes", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)
        for name, title in TITLES.items():
            parser.groups[name].title = title

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)
        check_sections(self.config, parser.get_defaults())
        check_supported(self.config)
