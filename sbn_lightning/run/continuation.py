"""How a training that continues a finished run is written down: beside what is finished, and in its place at the end.

Until then config.yaml and results.json, with the fit and the tests, stay as they are, byte for byte, whatever becomes
of the new part; and checkpoints/finished.ckpt is the checkpoint that they are about.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import (
    CHECKPOINTS,
    CONFIG,
    FINISHED,
    LAST,
    NEXT_CONFIG,
    NEXT_RESULTS,
    RESULTS,
    rename,
    replace_by_link,
)
from sbn_lightning.run.records import FitResult, Results, read_record, read_results, write_record


def finished_results(run_dir: Path) -> Results | None:
    """Return the record of a run whose training has ended; None if it has not. A damaged one is a BrokenRecordError."""
    results = read_results(run_dir)
    return results if results.fit is not None else None


def config_file(run_dir: Path) -> Path:
    """Return where the config of a training that starts now belongs."""
    return run_dir / (CONFIG if finished_results(run_dir) is None else NEXT_CONFIG)


def start(run_dir: Path, facts: Results, step: int) -> None:
    """Write the record of a training that starts at a step, with what it continues as its history.

    A training that was killed or stopped keeps the moment of its first start, and the command lines of all starts.
    """
    before = read_results(run_dir)
    stopped = read_record(run_dir / NEXT_RESULTS, Results) if before.fit else before
    if step > 0 and stopped.fit is None:
        commands = [*stopped.commands, *facts.commands]
        facts = replace(facts, started=stopped.started or facts.started, commands=commands)
    history = list(before.earlier)
    if before.fit or before.evaluations:
        fit = before.fit and replace(before.fit, epochs=())
        history.append(replace(before, fit=fit, earlier=[]))
    if before.fit is None:  # what a finished run left beside it was of another record
        forget(run_dir)
    write_record(run_dir / (NEXT_RESULTS if before.fit else RESULTS), replace(facts, earlier=history))
    last = run_dir / CHECKPOINTS / LAST
    if before.fit and before.fit.step in (None, step) and last.is_file():
        replace_by_link(last, last.with_name(FINISHED))


def end(run_dir: Path, fit: FitResult) -> None:
    """Write what a training gave; a continuation takes the place of what it continued."""
    following = run_dir / NEXT_RESULTS
    is_beside = following.exists()
    results = read_record(following, Results) if is_beside else read_results(run_dir)
    if is_beside and (run_dir / NEXT_CONFIG).exists():
        rename(run_dir / NEXT_CONFIG, run_dir / CONFIG)
    write_record(run_dir / RESULTS, replace(results, fit=fit))
    forget(run_dir)


def give_up(run_dir: Path, step: int) -> None:
    """Forget the continuation of a finished run that has failed at this step, if that is before its first one."""
    results = finished_results(run_dir)
    if results and results.fit and results.fit.step == step:
        forget(run_dir)


@contextmanager
def unchanged_if_refused(run_dir: Path, has_started: Callable[[], bool]) -> Iterator[None]:
    """Remove what is new in a run's folder if its training is refused before its first step.

    A refusal is a UsageError that is none of its other kinds: training that diverges keeps its files.
    """
    there = set(run_dir.rglob("*"))
    try:
        yield
    except UsageError as error:
        if error.exit_code == UsageError.exit_code and not has_started():
            for path in sorted(set(run_dir.rglob("*")) - there, reverse=True):  # what is in a folder before the folder
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def forget(run_dir: Path) -> None:
    """Remove what lies beside a finished run while it is continued."""
    for file in (run_dir / NEXT_CONFIG, run_dir / NEXT_RESULTS, run_dir / CHECKPOINTS / FINISHED):
        file.unlink(missing_ok=True)


def has_recorded(run_dir: Path, epochs: int, step: int) -> bool:
    """Whether the record holds what the training gave up to a checkpoint of this age; else it was killed before."""
    results = finished_results(run_dir)
    if results is None or results.fit is None:
        return False
    return results.fit.last_epoch == epochs if results.fit.step is None else results.fit.step == step
