"""What is written down of a run: typed records, their one reader, and what "finished" means.

Each record carries the version of its layout. A field that an older file lacks has a default.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from sbn_lightning.errors import UsageError
from sbn_lightning.run.facts import DataFacts, HardwareFacts, ModelFacts, TrainingFacts
from sbn_lightning.run.files import CONFIG, FINISHED, LAST, RESULTS, RUN, read_regular, whole_file
from sbn_lightning.run.lock import is_locked

PARTIAL = "_partial"
"""Ends the name of an evaluation that saw a part of its images."""
INSTEAD = "repair it, or move it away and run the same command again"
Values = Mapping[str, int | float | None]
"""{name: value}; NaN and infinity, which JSON does not know, are written as null."""


class BrokenRecordError(UsageError):
    """A record with invalid content; the text names the file, the place in it and the rule."""


class FitResult(msgspec.Struct, frozen=True):
    """What a training gave."""

    seconds: float  # of all starts together, if the run was continued
    last_epoch: int  # number of the last epoch
    last: Values  # {tag: value} after the last step
    epochs: Sequence[Values] = ()  # {"epoch": number from 1, tag: value} of each
    peak_memory_bytes: int | None = None  # of the GPU where there is one, else of the process
    step: int | None = None  # number of optimizer steps until its end, as in its last checkpoint
    best: Values | None = None  # {"epoch", "step", tag: value} of the validation with the best accuracy: best.ckpt's
    epochs_done: float | None = None  # last_epoch, or less where the last epoch was not finished; None in older records
    stopped_by: str = ""  # what ended the training before its last epoch was complete
    seen: dict[str, int] = {}  # {stage: number of images} that the values of the last epoch are of
    ended: str | None = None  # when, as in Results.started; None in older records


class Refitted(msgspec.Struct, frozen=True):
    """Measures of the logits times one scale, which is fitted on the labels of the images outside of a fold and
    measured on the fold, for each fold in turn; see run.calibration."""

    nll: float
    calibration_error: float
    scales: list[float]


class Calibrated(msgspec.Struct, frozen=True):
    """What a calibrated network with the same confidences would show; see run.calibration."""

    calibration_error: float  # the mean
    highest: float  # 95 % are not above


class Evaluation(msgspec.Struct, frozen=True):
    """What an evaluation of one checkpoint gave."""

    checkpoint: str
    stage: str  # `test` or `val`
    images: int  # that were seen
    correct: int  # number of images whose largest logit is that of their label
    metrics: Values  # {measure: value}, e.g. {"accuracy": 0.99}
    refitted: Refitted | None = None  # None where no finite scale fits best
    calibrated: Calibrated | None = None  # None in older records
    step: int | None = None  # number of optimizer steps that the checkpoint was trained for
    sha256: str | None = None  # of the checkpoint's file
    data: str | None = None  # fingerprint of the data, as in DataFacts
    available: int | None = None  # number of images in the split; None in older records
    class_accuracy: dict[str, float] = {}  # {class: the share of its images that is right}; empty in older records

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.images or self.images == 0:
            raise ValueError(f"{self.correct} of {self.images} images cannot be correct")

    @property
    def is_partial(self) -> bool:
        """Whether a part of the images was seen, because of limit_test_batches for example."""
        return self.available is not None and self.images < self.available


class Results(msgspec.Struct, frozen=True):
    """results.json: what a run is, and what its training and its evaluations gave.

    Data, model and training are None in the folder of an evaluation without a training.
    """

    version: Literal[1] = 1
    data: DataFacts | None = None
    model: ModelFacts | None = None
    training: TrainingFacts | None = None
    hardware: HardwareFacts | None = None
    versions: dict[str, str | None] = {}
    commit: str | None = None  # of the git checkout that the run was started in
    started: str | None = None  # when, in UTC, e.g. 2026-11-27T09:26:13+00:00; None in older records
    commands: list[str] = []  # the command line of each start of the training
    fit: FitResult | None = None  # None until the training has ended
    evaluations: dict[str, Evaluation] = {}  # by name: `test` (of last.ckpt), `test_best`, `test_partial`, …
    earlier: "list[Results]" = []  # what was here before the training was continued, without the epochs

    @property
    def trained(self) -> bool:
        """Whether the training has ended as it was meant to: with its last epoch, or by a limit that was set."""
        if self.fit is None or self.training is None:
            return False
        return bool(self.fit.stopped_by) or self.fit.last_epoch == self.training.epochs

    @property
    def finished(self) -> bool:
        """Whether the run is trained, and its last checkpoint is tested."""
        return self.trained and self.test is not None

    @property
    def test(self) -> Evaluation | None:
        """The test of the checkpoint with which the training ended, on the whole test set."""
        return next((test for test in self._tests_of_end if test.images >= self._test_images), None)

    @property
    def partial_test(self) -> Evaluation | None:
        """The test of the checkpoint with which the training ended, on a part of the test set."""
        return next((test for test in self._tests_of_end if test.images < self._test_images), None)

    @property
    def _tests_of_end(self) -> list[Evaluation]:
        end = self.fit and self.fit.step
        tests = [self.evaluations[name] for name in ("test", f"test{PARTIAL}") if name in self.evaluations]
        tests = [test for test in tests if Path(test.checkpoint).name in (LAST, FINISHED)]
        return [test for test in tests if None in (test.step, end) or test.step == end]

    @property
    def _test_images(self) -> int:
        """Number of images in the test set; earlier versions recorded a partial test as if it were a whole one."""
        return self.data.images.get("test", 0) if self.data else 0


class Attempts(msgspec.Struct, frozen=True):
    """run.json: what `sbn reproduce` knows of a run that it started."""

    version: Literal[1] = 1
    attempts: int = 0  # number of starts that have ended
    seconds: float = 0.0  # of all of them together
    test_seconds: float | None = None  # that the test took of these; None before, and in older records
    error: str | None = None  # why the last one failed; None if it did not
    arguments: list[str] | None = None  # options of `sbn fit` that the run was started with


class RunState(Enum):
    """How far a run is."""

    NEW = "not started"
    RUNNING = "running"  # a process trains or tests in its folder now
    STARTED = "unfinished"  # stopped or killed; it can be continued
    FAILED = "failed"
    TRAINED = "not tested"
    FINISHED = "finished"


def run_state(run_dir: Path) -> RunState:
    """Return how far the run in a folder is, or raise a BrokenRecordError."""
    if is_locked(run_dir):
        return RunState.RUNNING
    results = read_results(run_dir)
    if results.finished:
        return RunState.FINISHED
    if read_record(run_dir / RUN, Attempts).error is not None:
        return RunState.FAILED
    if results.trained:
        return RunState.TRAINED
    has_started = any((run_dir / name).exists() for name in (CONFIG, RESULTS, RUN))
    return RunState.STARTED if has_started else RunState.NEW


def now() -> str:
    """Return the date and the time in UTC, as ISO 8601 writes them, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


Record = TypeVar("Record")


def read_record(file: Path, kind: type[Record]) -> Record:
    """Return the record that a JSON file holds, an empty one without the file, or raise a BrokenRecordError."""
    try:
        content = msgspec.json.decode(read_regular(file), type=dict[str, Any])
        if kind is Results and "version" not in content:
            content["evaluations"] = _evaluations_of(content)
        return msgspec.convert(content, kind)
    except FileNotFoundError:
        return kind()
    except msgspec.ValidationError as error:
        raise BrokenRecordError(f"{file} has invalid content ({error}); {INSTEAD}") from error
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenRecordError(f"{file} cannot be read ({error}); {INSTEAD}") from error


def write_record(file: Path, record: msgspec.Struct | dict[str, str]) -> None:
    """Write a record as a JSON file, whole or not at all, or raise a UsageError."""
    with whole_file(file) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(record), indent=1).decode() + "\n")


def read_results(run_dir: Path) -> Results:
    """Return results.json of a run's folder; see `read_record`."""
    return read_record(run_dir / RESULTS, Results)


def update_results(run_dir: Path, **changes: Any) -> None:
    """Change fields of results.json."""
    write_record(run_dir / RESULTS, msgspec.structs.replace(read_results(run_dir), **changes))


def _evaluations_of(content: dict[str, Any]) -> dict[str, Any]:
    """Return the evaluations that results without a version hold beside their other fields, with measures by tag."""
    return {
        name: entry
        | {
            "stage": "test" if name.startswith("test") else "val",
            "metrics": {tag.partition("/")[2]: value for tag, value in entry.items() if "/" in tag},
        }
        for name, entry in content.items()
        if name.startswith(("test", "validate")) and isinstance(entry, dict)
    }
