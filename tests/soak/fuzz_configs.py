"""`python -m tests.soak.fuzz_configs`: carries out commands with hundreds of changed configs and command lines.

Each input is a config with seeded changes (see `changed_configs`). `sbn fit`, and the commands that read a finished
run's config, must take it, or refuse it in one line: no traceback, no hang, and no more than 1 GB of memory. Each
command runs in a process of its own, forked from one that has imported everything. Prints a Markdown table, and exits
with 1 if an input did anything else. About 5 minutes on two cores.
"""

import argparse
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import yaml

from sbn_lightning.cli import commands, trainer  # noqa: F401  (what a command imports when it starts)
from sbn_lightning.report import command as report  # noqa: F401
from sbn_lightning.reproduce import command as reproduce  # noqa: F401
from tests.soak.changed_configs import changed, option, whole
from tests.soak.foreign_files import MEMORY, SECONDS

FORK = multiprocessing.get_context("fork")
HEADS = ("sbn", "softmax", "am_softmax", "pedcc")
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
HERE = ["--trainer.devices", "1", "--trainer.num_nodes", "1"]  # others start processes, or wait for other machines
SHORT = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3"]
"""Options that come after a changed config, so that a training is short whatever the config says."""
UNCLEAR = re.compile(r"unhashable|not iterable|NoneType|has no attribute '|<class |:$")
"""What is said to programmers, or cut off."""
HELD_OUT = ["--model.backbone.width", "4", "--data.validation_fraction", "0.1"]  # so that it can be validated
READERS = ("test", "validate", "predict", "report", "continue", "reproduce")


class Answer(NamedTuple):
    """What a command answered.

    Args:
        name: Of the command, and of the input.
        code: The exit code; below 0 a signal's number.
        line: In which it refused its config.
        wrong: All that it said, if it neither succeeded nor refused its config in one line.
    """

    name: str
    code: int
    line: str = ""
    wrong: str = ""


def command_line(root: Path, chance: random.Random) -> list[str]:
    """Write a changed config into the current folder, and return the arguments of a command that reads it.

    Args:
        root: Folder with `data`, and with `run`, a trained and tested run.
    """
    options = ["--data.root", f"{root}/data", *QUIET, *HERE]
    if chance.random() < 0.75:
        Path("any.yaml").write_bytes(changed(whole(f"digits_{chance.choice(HEADS)}"), chance))
        other = option(chance) if chance.random() < 0.25 else []
        trial = ["--trainer.fast_dev_run", "2"] if chance.random() < 0.2 else []
        return ["fit", "--config", "any.yaml", "--run_dir", "new", *other, *options, *SHORT, *trial]
    shutil.copytree(root / "run", "grid/run")
    file = Path("grid/run/config.yaml")
    file.write_bytes(changed(yaml.safe_load(file.read_text()), chance))
    command = chance.choice(READERS)
    if command == "report":
        return ["report", "grid"]
    if command == "reproduce":
        grid = {"configs": [str(file)], "heads": ["SoftmaxHead", {"class": "PEDCCHead", "label": "x"}], "seeds": [0, 1]}
        Path("grid.yaml").write_bytes(changed(grid, chance))
        return ["reproduce", "--grid", "grid.yaml", "--out", "grid", "--dry-run", *options]
    if command == "continue":
        return ["fit", "--config", "grid/run", "--ckpt_path", "last", *options, *SHORT, "--trainer.max_epochs", "2"]
    if command == "predict":
        return ["predict", "--config", "grid/run", "--root", f"{root}/data", "--device", "cpu"]
    return [command, "--config", "grid/run", *options]


def carry_out(arguments: list[str]) -> None:
    """Carry out a command in this process, within limits of time and memory; what it says goes into the file `said`."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, whatever it does
    signal.alarm(SECONDS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    said = os.open("said", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["sbn", *arguments]
    commands.main(arguments)


def answer(root: Path, seed: str) -> Answer:
    """Carry out the command of a seed in a process and a folder of its own."""
    folder = root / "some" / "levels" / "deep" / seed  # for paths with ..
    folder.mkdir(parents=True)
    os.chdir(folder)
    arguments = command_line(root, random.Random(seed))
    process = FORK.Process(target=carry_out, args=(arguments,))
    process.start()
    process.join()
    code, said = process.exitcode or 0, Path("said").read_text(errors="replace")
    lines = [line for line in said.splitlines() if line.startswith("sbn: ")]
    refused = code in (2, 3) and len(lines) == 1 and said.endswith(f"{lines[0]}\n") and not UNCLEAR.search(lines[0])
    good = "Traceback (most" not in said and (refused or (code == 0 and not lines))
    if good:
        shutil.rmtree(folder)
    wrong = "" if good else f"{seed}: exit code {code}: sbn {' '.join(arguments)}\n{said}"
    return Answer(arguments[0], code, "".join(lines), wrong)


def train(root: Path) -> None:
    """Train and test the run that is read."""
    os.chdir(root)
    for command in ("fit", "test"):
        carry_out([command, "--config", "digits_sbn", "--run_dir", "run", *HELD_OUT, *QUIET, *SHORT])


def main() -> None:
    """Carry out so many commands."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fuzz_configs", description=__doc__)
    parser.add_argument("--count", type=int, default=500, metavar="N", help="commands")
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="commands at a time")
    parser.add_argument("--keep", type=Path, help="an empty folder, where what was wrong is kept")
    parser.add_argument("--list", action="store_true", help="print each answer, to see whether it is clear")
    parser.add_argument("--only", help="the seed of a single input, as it is printed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts: dict[str, list[Answer]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="sbn-fuzz-") as folder:
        root = options.keep.absolute() if options.keep else Path(folder)
        training = FORK.Process(target=train, args=(root,))
        training.start()
        training.join()
        seeds = [options.only] if options.only else [f"{options.seed}.{number}" for number in range(options.count)]
        with ProcessPoolExecutor(options.jobs, FORK) as pool:
            for one in pool.map(partial(answer, root), seeds):
                counts[one.name].append(one)
                if options.list:
                    print(one.name, one.code, one.line or "taken", flush=True)
                if one.wrong:
                    print(one.wrong, file=sys.stderr, flush=True)
    print("| command | configs | taken | refused in one line |\n|---|---|---|---|")
    for name, answers in counts.items():
        good = [one.code for one in answers if not one.wrong]
        print(f"| {name} | {len(answers):,} | {good.count(0):,} | {len(good) - good.count(0):,} |")
    raise SystemExit(int(any(one.wrong for answers in counts.values() for one in answers)))


if __name__ == "__main__":
    main()
