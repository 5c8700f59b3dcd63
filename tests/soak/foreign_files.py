"""`python -m tests.soak.foreign_files`: reads thousands of changed records and checkpoints.

Each input is a file of a run's folder in which a seeded change was made: a value replaced, removed or added, bytes
flipped, cut off or repeated. Every reader must take it, or refuse it in one line: no traceback, no hang, and no more
than 1 GB of memory. Prints a Markdown table, and exits with 1 if an input did anything else.
"""

import argparse
import contextlib
import copy
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

import numpy as np
import torch

from sbn_lightning import Classifier
from sbn_lightning.cli import commands
from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import GRID, LAST, METRICS, METRICS_TABLE, RESULTS, RUN

SECONDS = 60
"""Longer than any reader takes on a small run."""
MEMORY = 2**30
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 3, 2**31, 2**70, -(2**70), 0.5, -1.5, 1e300, float("nan"), float("inf"), "", "x", "1", "\0",
    "é\ud800", "a\nb", "../../etc/passwd", "os.system", "x" * 5000, [], [1], ["x"], [None], [[]], {},
    {"": 0}, {"a": {"b": 1}}, {"class_path": "os.system", "init_args": {"command": "false"}},
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value inside of nested dicts and lists."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*at, key)
        yield from places(entry, (*at, key))


def change(value: Any, chance: random.Random) -> Any:
    """Change one value among nested dicts and lists: replace it, remove it, or add another one beside it."""
    place = chance.choice(list(places(value)) or [()])
    if not place:
        return copy.deepcopy(chance.choice(VALUES))
    *above, last = place
    parent = value
    for key in above:
        parent = parent[key]
    what = chance.choice(["replace", "replace", "replace", "remove", "add", "swap"])
    if what == "remove":
        del parent[last]
    elif what == "add" and isinstance(parent, dict):
        parent[chance.choice(["x", "", "1", "version", "épée"])] = copy.deepcopy(chance.choice(VALUES))
    elif what == "add":
        parent.insert(last, copy.deepcopy(chance.choice(VALUES)))
    elif what == "swap":  # with a value from elsewhere, so that its type is one that occurs
        other = value
        for key in chance.choice(list(places(value))):
            other = other[key]
        parent[last] = copy.deepcopy(other)
    else:
        parent[last] = copy.deepcopy(chance.choice(VALUES))
    return value


def damage(content: bytes, chance: random.Random) -> bytes:
    """Flip, cut off, remove or repeat bytes."""
    start, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    flipped = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    noise = bytes(chance.randrange(256) for _ in range(20))
    changed = (content[:start], content[:start] + content[end:], content[:end] + content[start:], bytes(flipped), noise)
    return chance.choice(changed)


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """Change values in a JSON text, or its bytes."""
    if chance.random() < 0.15:
        return damage(content, chance)
    value = json.loads(content)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        value = change(value, chance)
    return json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def changed_lines(content: bytes, chance: random.Random) -> bytes:
    """Change one line of metrics.jsonl or metrics.csv."""
    lines = content.splitlines(keepends=True)
    number = chance.randrange(len(lines))
    if lines[number].startswith(b"{") and chance.random() < 0.7:
        lines[number] = json.dumps(change(json.loads(lines[number]), chance)).encode() + b"\n"
    else:
        cells = lines[number].rstrip(b"\n").split(b",")
        cells[chance.randrange(len(cells))] = json.dumps(chance.choice(VALUES)).encode()
        lines[number] = b",".join(cells) + b"\n"
    return damage(content, chance) if chance.random() < 0.2 else b"".join(lines)


def changed_arrays(content: bytes, chance: random.Random) -> bytes:
    """Change one array of test.npz: its type, its shape or its values; or the file's bytes."""
    if chance.random() < 0.3:
        return damage(content, chance)
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    name = chance.choice(list(arrays))
    array = arrays.pop(name)
    number = np.issubdtype(array.dtype, np.number)
    ways: list[Callable[[], Any]] = [
        lambda: None, lambda: array[:0], lambda: array[:-1], lambda: array[None], lambda: array.astype(str),
        lambda: np.zeros((), array.dtype), lambda: np.array(["x"] * len(array)),
        lambda: np.full_like(array, np.nan) if array.dtype.kind == "f" else array[::-1],
        lambda: -array if number else array, lambda: array.astype(complex) if number else array,
        lambda: np.full_like(array, np.inf) if array.dtype.kind == "f" else array + 1 if number else array,
    ]  # fmt: skip
    if (replaced := chance.choice(ways)()) is not None:
        arrays[name] = replaced
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def changed_checkpoint(content: bytes, chance: random.Random) -> bytes:
    """Change a value anywhere in a checkpoint, or its bytes."""
    if chance.random() < 0.25:
        return damage(content, chance)
    stored = torch.load(io.BytesIO(content), weights_only=True)
    for _ in range(chance.choice([1, 1, 2])):
        part = chance.choice(list(stored))
        if chance.random() < 0.9 and isinstance(stored[part], dict | list):
            stored[part] = change(stored[part], chance)
        else:
            stored = change(stored, chance)
        if not isinstance(stored, dict) or not stored:
            break
    buffer = io.BytesIO()
    torch.save(stored, buffer)
    return buffer.getvalue()


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
