"""The command `sbn`: chooses what to run, finds configs, and turns errors into messages.

Nothing here imports torch until a command needs it, so that `sbn --help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from sbn_lightning import __version__
from sbn_lightning.config_files import find_config, shipped_configs
from sbn_lightning.errors import UsageError, did_you_mean

COMMANDS = {
    "fit": "train, watch the test set or a hold-out after each epoch, keep the last (and best) checkpoint",
    "validate": "evaluate a checkpoint on the held-out part of the training set",
    "test": "evaluate a checkpoint on the test set",
    "predict": "write a checkpoint's class and probability for each test image to predictions.csv",
    "prepare": "download and decode a config's images, once, into the packed files that training reads",
    "reproduce": "train and test a grid of runs: the paper's tables, the digits, or one of your own",
    "report": "tables, intervals and figures out of the folders of finished runs",
    "check-resume": "prove that a killed training continues bit for bit here, with a config of yours",
}

TRAINER = "cli.trainer:run_trainer"
COMMAND_FUNCTIONS = {
    "prepare": "cli.prepare:prepare",
    "reproduce": "reproduce.command:reproduce",
    "report": "report.command:report",
    "check-resume": "cli.commands:check_resume",
}
"""{command: module:function}: what carries out a command, given the arguments after it; the others are the trainer's.
It gives back the exit code, or nothing for 0."""

OVERVIEW = """\
sbn {version}: train image classifiers with scaled batch normalization and other heads

  sbn COMMAND --config CONFIG [--KEY VALUE ...]

{commands}

  sbn COMMAND --help lists every key, sbn fit --model.head.help HEAD those of one class.
  CONFIG is a YAML file, or one that comes with sbn:
{configs}

  sbn fit --config digits_sbn
  sbn test --config runs/digits_sbn
  sbn fit --config cifar100_sbn --data.root DIR --model.head.scale 0.8 --trainer.devices 4
  sbn fit --config cifar100_sbn --config fast --data.root DIR     (on a GPU)
"""


class CommandParser(argparse.ArgumentParser):
    """The parser of a command that does not build a trainer; raises a UsageError where argparse would print its usage
    and exit."""

    def __init__(self, command: str, usage: str = "") -> None:
        super().__init__(
            prog=f"sbn {command}",
            usage=f"sbn {command} {usage}" if usage else None,
            description=COMMANDS[command],
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def with_config_paths(arguments: Sequence[str]) -> list[str]:
    """The arguments, with names of shipped configs replaced by their paths."""
    resolved = list(arguments)
    for position, argument in enumerate(arguments):
        key, equals, value = argument.partition("=")
        if key not in ("--config", "-c"):
            continue
        if equals:
            resolved[position] = f"{key}={find_config(value)}"
        elif position + 1 < len(arguments):
            resolved[position + 1] = find_config(arguments[position + 1])
    return resolved


def overview() -> str:
    """What `sbn --help` prints."""
    width = max(map(len, COMMANDS))
    names = list(shipped_configs())
    return OVERVIEW.format(
        version=__version__,
        commands="\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()),
        configs="\n".join(f"    {'  '.join(names[row : row + 4])}" for row in range(0, len(names), 4)),
    )


def run(arguments: Sequence[str]) -> None:
    """Carry out a command line.

    Raises:
        UsageError: If there is no such command, or it is not given first.
    """
    command = arguments[0] if arguments else "--help"
    if command in ("-h", "--help"):
        print(overview())
    elif command == "--version":
        print(f"sbn {__version__}")
    elif command.startswith("-"):
        raise UsageError(f"the command comes first: sbn fit {' '.join(arguments)}")
    elif command not in COMMANDS:
        raise UsageError(f"there is no command {command!r}{did_you_mean(command, COMMANDS)} ({', '.join(COMMANDS)})")
    else:
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # classes of the user's own, in a module in this folder
        module, _, function = COMMAND_FUNCTIONS.get(command, TRAINER).partition(":")
        carry_out = getattr(import_module(f"sbn_lightning.{module}"), function)
        # sbn reproduce writes down the names of configs as they are given.
        given = arguments if command == "reproduce" else with_config_paths(arguments)
        if code := carry_out(given if command not in COMMAND_FUNCTIONS else given[1:]):
            raise SystemExit(code)


def check_resume(arguments: Sequence[str]) -> int:
    """Carry out `sbn check-resume`, given the arguments after it; the exit code."""
    from sbn_lightning.checkpointing import verify

    parser = CommandParser("check-resume", "--config CONFIG [--steps N] [--KEY VALUE ...]")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps before the kill, and again after it")
    parser.epilog = "All other options are those of sbn fit."
    options, fit = parser.parse_known_args(arguments)
    return verify.check_resume(fit, options.steps)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `sbn`; exits with 2 after a message if the command cannot be carried out as it was given, and with
    3 if training diverged."""
    try:
        run(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        print(f"sbn: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
