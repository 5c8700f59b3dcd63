"""The parser of the trainer's commands: jsonargparse, with errors that say in one line what is wrong and what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sbn_lightning.backbones import Backbone
from sbn_lightning.callbacks import ChanceLevel
from sbn_lightning.checkpointing.save import CheckpointRule
from sbn_lightning.cli.checks import building
from sbn_lightning.cli.jsonargparse_internals import settings_of_another_class_forgotten
from sbn_lightning.cli.messages import readable
from sbn_lightning.config_files import files_of, options_with_values, parse_yaml, read_yaml, with_config_paths
from sbn_lightning.data import ImageDataModule
from sbn_lightning.errors import UsageError
from sbn_lightning.heads import Head

CHOICES: dict[str, type] = {
    "chance_level": ChanceLevel,
    "checkpoint": CheckpointRule,
    "model.backbone": Backbone,
    "model.head": Head,
    "data": ImageDataModule,
    "trainer.callbacks": Callback,
    "trainer.logger": Logger,
    "optimizer": Optimizer,
    "lr_scheduler": LRScheduler,
}
"""{key: base class} of the keys whose value is a class; the first that fits a class is its key."""


class ArgumentParser(LightningArgumentParser):
    """Raises one readable UsageError where jsonargparse would print its usage and exit.

    Takes the names of shipped configs and the folders of runs as configs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def parse_args(self, args: Any = None, namespace: Any = None, **settings: Any) -> Any:
        args = with_config_paths(args)
        try:
            for config in [value for option, value in options_with_values(args) if option in ("-c", "--config")]:
                check_config(config)
            with settings_of_another_class_forgotten():
                return super().parse_args(args, namespace, **settings)
        except RecursionError as error:
            raise UsageError("a config contains itself (by *NAME inside of &NAME), or too many levels") from error

    def instantiate(self, namespace: Namespace, *args: Any, **settings: Any) -> Namespace:
        """Build everything; what a constructor complains about becomes a UsageError with the key."""
        builders = [(builder(key), base, True) for key, base in CHOICES.items()]
        try:
            return super().instantiate(namespace, *args, **{**settings, "instantiators": builders})
        except ValueError as error:  # jsonargparse's own, if null is allowed too: it lists what it tried
            raise (error.__cause__ if isinstance(error.__cause__, UsageError) else error) from None

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # one of jsonargparse's own attempts: it may still try another type
            super().error(message, ex)
        raise readable(message, self, CHOICES) from ex


def check_config(config: str) -> None:
    """Refuse a config, given by its path or as YAML text, that is not YAML or names a file that is not."""
    if config.lstrip().startswith("{"):
        parse_yaml(config, "the value of --config")
    elif Path(config).is_file():
        files_of(Path(config))
        if not isinstance(read_yaml(Path(config)), dict):
            raise UsageError(f"{config} does not contain settings, written KEY: VALUE")


def builder(key: str) -> Callable[..., Any]:
    """Return the function by which jsonargparse builds the class at a key."""

    def build(kind: type, *args: Any, **settings: Any) -> Any:
        with building(key, settings=settings):
            return kind(*args, **settings)

    return build
