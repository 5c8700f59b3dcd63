"""The command `sbn reproduce`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sbn_lightning.cli.commands import CommandParser
from sbn_lightning.config_files import find_config
from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.reproduce import cluster, devices, grid_file
from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.grid import Run, chosen, with_options
from sbn_lightning.reproduce.local import LocalRunner
from sbn_lightning.reproduce.plan import check_begun, stored
from sbn_lightning.reproduce.prepare_data import prepare
from sbn_lightning.reproduce.progress import Progress, ending, listing
from sbn_lightning.reproduce.run_one import SBN
from sbn_lightning.reproduce.tables import TABLES

SECTIONS = ("config", "data", "model", "trainer", "optimizer", "lr_scheduler")  # options of sbn fit without a dot
FILTERS = ("datasets", "backbones", "heads", "seeds")
USAGE = "[--table TABLE | --grid FILE] [--dry-run] [OPTIONS] [any option of sbn fit]"


def reproduce(arguments: Sequence[str], sbn: Sequence[str] = SBN) -> int:
    """Carry out `sbn reproduce`, given the command line after it.

    Args:
        sbn: The command that runs are made with.

    Returns:
        The exit code: 0 if all runs are done, 1 if one has failed or was stopped, 128 + n if signal n ended it.

    Raises:
        UsageError: If the arguments fit neither the parser, nor the machine, nor what lies in the grid's folder.
        OSError: If the grid's folder cannot be written.
    """
    options, passed = parser().parse_known_args(list(arguments))
    cluster.check_options(options)
    runs = [with_options(run, passed_on(passed)) for run in select(options)]
    root = Path(options.out or f"runs/reproduce_{options.grid.stem if options.grid else options.table}")
    check_begun(root, runs)
    if options.cluster:
        return cluster.run(root, runs, options, sbn)
    slots = devices.places(options.jobs, runs[0].config)
    board = Board(root, runs, len(slots))
    if options.dry_run:
        print(listing(board))
        return 0
    with stored(root, runs):
        try:
            prepare(board, sbn)
        except KeyboardInterrupt:
            return 130
        print(f"{len(runs)} runs in {root}/, {devices.names(slots)}", flush=True)
        runner = LocalRunner(board, slots, sbn)
        if runner.elsewhere:
            print(f"{len(runner.elsewhere)} of them train already, started by another command: they are waited for")
        with Progress(board) as show:
            number = runner(show)
    return ending(board, number)


def parser() -> CommandParser:
    """Of what is not an option of `sbn fit`."""
    parser = CommandParser("reproduce", USAGE)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"a FILE for --grid is\n{grid_file.__doc__}"
    grid = parser.add_mutually_exclusive_group()
    grid.add_argument("--table", choices=sorted(TABLES), default="digits", help="a grid that comes with sbn (digits)")
    grid.add_argument("--grid", type=Path, metavar="FILE", help="a YAML file with a grid of your own, see below")
    for name in FILTERS:
        parser.add_argument(f"--{name}", nargs="+", metavar="NAME", help=f"only these {name} of the grid")
    parser.add_argument("--out", metavar="DIR", help="the grid's folder (runs/reproduce_TABLE)")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time (one per GPU, or one on a CPU)")
    parser.add_argument("--dry-run", action="store_true", help="list the runs, what is done, what is left, how long")
    cluster.add_options(parser)
    return parser


def select(options: argparse.Namespace) -> list[Run]:
    """The runs that were asked for."""
    runs = grid_file.grid_from_file(options.grid) if options.grid else list(TABLES[options.table]())
    return chosen(runs, {name: getattr(options, name) for name in FILTERS})


def passed_on(arguments: Sequence[str]) -> list[str]:
    """Options of `sbn fit`; files get their whole path, since the command may be repeated from another folder."""
    for name in ("--run_dir", "--ckpt_path", "--auto_resume", "--seed_everything"):
        if any(argument.partition("=")[0] == name for argument in arguments):
            raise UsageError(f"{name} is set for each run by the grid; see --out and --seeds")
    own = list(parser()._option_string_actions)
    for argument in arguments:
        option = argument.partition("=")[0]
        if option.startswith("--") and "." not in option and option[2:] not in SECTIONS and did_you_mean(option, own):
            raise UsageError(f"there is no option {option}{did_you_mean(option, own)}")
    passed = list(arguments)
    for position, argument in enumerate(passed):
        key, equals, value = argument.partition("=")
        if key in ("--config", "-c") and equals:
            passed[position] = f"--config={whole_path(value)}"
        elif key in ("--config", "-c") and position + 1 < len(passed):
            passed[position + 1] = whole_path(passed[position + 1])
    return passed


def whole_path(config: str) -> str:
    """Of a config file; the name of a shipped one stays."""
    path = find_config(config)
    return str(Path(path).absolute()) if Path(config).exists() else config
