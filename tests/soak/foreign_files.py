"""`python -m tests.soak.foreign_files`: reads thousands of changed records and checkpoints.

Each input is a file of a run's folder in which a seeded change was made: a value replaced, removed or added, bytes
flipped, cut off or repeated. Every reader must take it, or refuse it in one line: no traceback, no hang, and no more
than 1 GB of memory. Prints a Markdown table, and exits with 1 if an input did anything else.
"""

import argparse
import contextlib
import io
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sbn_lightning import Classifier
from sbn_lightning.cli import commands
from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import GRID, LAST, METRICS, METRICS_TABLE, RESULTS, RUN
from tests.soak.changes import changed_arrays, changed_checkpoint, changed_json, changed_lines

SECONDS = 60
"""Longer than any reader takes on a small run."""
MEMORY = 2**30


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Let a hang or too much memory be an error."""

    def too_long(number: int, frame: Any) -> None:
        raise TimeoutError(f"longer than {SECONDS} s")

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, limits[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def fault(read: Callable[[], object], name: str) -> str | None:
    """Return what was wrong with the way in which a reader answered; None if it took or refused the file properly."""
    said = io.StringIO()
    try:
        with (
            limited(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):  # fmt: skip
            warnings.simplefilter("error")
            read()
    except UsageError as error:
        return None if str(error) and "\n" not in str(error) else f"refused in several lines: {error!r}"
    except SystemExit as end:  # 3 for a training that diverges
        lines = [line for line in said.getvalue().splitlines() if line.startswith("sbn: ")]
        return None if end.code in (2, 3) and len(lines) == 1 and name in lines[0] else f"exit {end.code}: {lines}"
    except BaseException:
        return traceback.format_exc()
    return None


def sbn(*arguments: object) -> None:
    commands.main([str(argument) for argument in arguments])


class Inputs:
    """Changed files of a run's folder, read in turn by everything that reads them.

    Args:
        folder: Empty; it gets a trained and tested run, `grid/run`, and copies of it.
        seed: Of the changes.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self.run = folder / "grid" / "run"
        self.data = ["--data.root", folder / "data"]
        options = ["--config", "digits_sbn", *self.data, "--model.backbone.width", 4, "--trainer.max_epochs", 1]
        with contextlib.redirect_stdout(io.StringIO()):
            sbn("fit", *options, "--run_dir", self.run, "--trainer.enable_progress_bar", "false")
            sbn("test", "--config", self.run, "--trainer.enable_progress_bar", "false")
        shutil.copytree(self.run, folder / "grid" / "softmax")
        softmax = json.loads((self.run / RESULTS).read_text())
        softmax["model"]["head"] = {"name": "SoftmaxHead", "settings": {}, "title": "softmax"}
        (folder / "grid" / "softmax" / RESULTS).write_text(json.dumps(softmax))
        planned = {
            "folder": "run", "dataset": "Digits", "backbone": "SmallCNN", "head": "ScaledBatchNormHead", "seed": 0,
            "label": "sbn", "settings": {"scale": 3.0}, "paper": {"mean": 90.0, "std": 0.1, "runs": 3},
            "arguments": ["--config", "digits_sbn"], "files": {"digits_sbn.yaml": "0"},
        }  # fmt: skip
        (folder / "grid" / GRID).write_text(json.dumps({"version": 1, "runs": [planned]}))
        (self.run / RUN).write_text(
            json.dumps({"attempts": 1, "seconds": 9.5, "arguments": ["--config", "digits_sbn"]})
        )

    def records(self) -> Iterator[tuple[Path, Callable[[bytes, random.Random], bytes], list[Callable[[], object]]]]:
        """Yield each record with how it is changed and who reads it."""
        report = lambda: sbn("report", self.folder / "grid")  # noqa: E731
        grid = lambda: sbn("reproduce", "--out", self.folder / "grid", "--dry-run", "--heads", "sbn")  # noqa: E731
        yield self.run / RESULTS, changed_json, [report, report, report, self.test, self.fit]
        yield self.run / RUN, changed_json, [report, grid]
        yield self.folder / "grid" / GRID, changed_json, [report, grid]
        yield self.run / METRICS, changed_lines, [report, self.fit]
        yield self.run / METRICS_TABLE, changed_lines, [report]
        yield self.run / "test.npz", changed_arrays, [report]
        yield next((self.folder / "data/.packed").glob("*/manifest.json")), changed_json, [self.test]

    def test(self) -> None:
        sbn("test", "--config", self.run, "--trainer.enable_progress_bar", "false")

    def fit(self) -> None:
        """Continue the run by a step."""
        options = ["--trainer.max_epochs", 2, "--trainer.max_steps", 13, "--trainer.enable_progress_bar", "false"]
        sbn("fit", "--config", self.run, "--ckpt_path", "last", *options)

    def changed_records(self, count: int) -> Iterator[tuple[str, str | None]]:
        """Yield `count` times the name of a changed record, and what was wrong with the answer."""
        records = list(self.records())
        for number in range(count):
            file, how, readers = records[number % len(records)]
            yield self.answered(file, how(file.read_bytes(), self.chance), self.chance.choice(readers))

    def changed_checkpoints(self, count: int) -> Iterator[tuple[str, str | None]]:
        """Yield the same for checkpoints."""
        last = self.run / "checkpoints" / LAST
        readers = [lambda: Classifier.load_from_checkpoint(last)] * 6 + [self.test, self.fit]
        for _ in range(count):
            yield self.answered(last, changed_checkpoint(last.read_bytes(), self.chance), self.chance.choice(readers))

    def answered(self, file: Path, content: bytes, read: Callable[[], object]) -> tuple[str, str | None]:
        """Put a content in a file's place, read it, and put everything back as it was."""
        kept = self.folder / "kept"
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(kept)
        for name in ("grid", "data"):
            shutil.copytree(self.folder / name, kept / name)
        try:
            file.write_bytes(content)
            wrong = fault(read, "" if file.name == "manifest.json" else file.name)  # a store has no name for users
        finally:
            for name in ("grid", "data"):
                shutil.rmtree(self.folder / name)
                shutil.copytree(kept / name, self.folder / name)
        return file.name, wrong


def main() -> None:
    """Read so many changed files."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.foreign_files", description=__doc__)
    parser.add_argument("--records", type=int, default=1500, metavar="N")
    parser.add_argument("--checkpoints", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    options = parser.parse_args()
    faults: list[str] = []
    counts: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory(prefix="sbn-foreign-") as folder:
        inputs = Inputs(Path(folder), options.seed)
        for many in (inputs.changed_records(options.records), inputs.changed_checkpoints(options.checkpoints)):
            for name, wrong in many:
                counts.setdefault(name, []).append(wrong is not None)
                if wrong:
                    faults.append(f"{name}: {wrong}")
                    print(faults[-1], file=sys.stderr, flush=True)
    print("| changed file | inputs | taken or refused in one line |\n|---|---|---|")
    for name, wrongs in counts.items():
        print(f"| {name} | {len(wrongs):,} | {len(wrongs) - sum(wrongs):,} |")
    raise SystemExit(int(bool(faults)))


if __name__ == "__main__":
    main()
