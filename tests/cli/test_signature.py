"""A command's function is called with the options that its signature describes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from sbn_lightning.cli.signature import call
from sbn_lightning.errors import UsageError


def report(
    folder: Path | None = None,
    *,
    out: Path | None = None,
    compare: tuple[Path, Path] | None = None,
    seeds: list[int] | None = None,
    names: list[str] | None = None,
    dry_run: bool = False,
    jobs: int | None = None,
    table: Literal["digits", "paper"] = "digits",
) -> Any:
    """Make tables.

    A file looks like this:

        seeds: [0, 1]    # as it is written

    Args:
        folder: The folder of the runs.
        out: Where to write.
        compare: Two folders.
        seeds: Seeds.
        names: Names.
        dry_run: Whether to list only.
        jobs: Number of jobs.
        table: The table.
    """
    return {name: value for name, value in locals().items() if value not in (None, False, "digits")}


def passing(fit_options: Sequence[str] = (), *, seeds: list[int] | None = None, steps: int = 20) -> Any:
    """Pass options on.

    Args:
        fit_options: The others.
        seeds: Seeds.
        steps: Steps.
    """
    return list(fit_options), seeds, steps


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("runs", {"folder": Path("runs")}),
        ("runs --out there", {"folder": Path("runs"), "out": Path("there")}),
        ("--out there runs", {"folder": Path("runs"), "out": Path("there")}),
        ("--compare a b runs", {"folder": Path("runs"), "compare": (Path("a"), Path("b"))}),
        ("--seeds 0 1 2 --dry-run", {"seeds": [0, 1, 2], "dry_run": True}),
        ("--seeds=5", {"seeds": [5]}),
        ("--names a 1 null", {"names": ["a", "1", "null"]}),
        ("--dry_run runs", {"folder": Path("runs"), "dry_run": True}),
        ("--jobs -1 --table paper", {"jobs": -1, "table": "paper"}),
    ],
)
def test_words_become_arguments(line: str, expected: dict[str, Any]) -> None:
    assert call("report", report, line.split()) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ([], None, 20)),
        ("--data.root DIR --steps 3 --config=digits_sbn", (["--data.root", "DIR", "--config=digits_sbn"], None, 3)),
        (
            "-c digits_sbn --trainer.callbacks+ A --seeds 1",
            (["-c", "digits_sbn", "--trainer.callbacks+", "A"], [1], 20),
        ),
    ],
)
def test_other_options_are_passed_on_as_they_are(line: str, expected: Any) -> None:
    assert call("check-resume", passing, line.split()) == expected


def test_function_without_options_of_its_own_gets_all_arguments() -> None:
    def prepare(fit_options: Sequence[str]) -> Any:
        return list(fit_options)

    assert call("prepare", prepare, ["--help", "--config", "x"]) == ["--help", "--config", "x"]


@pytest.mark.parametrize(
    ("function", "line", "expected"),
    [
        (report, "runs more", "unrecognized arguments: more; see sbn report --help"),
        (report, "--job 1", "there is no option --job, did you mean '--jobs'?"),
        (report, "--data.out x", "there is no option --data.out; name --out; see sbn report --help"),
        (report, "--data.in x", "there is no option --data.in; see sbn report --help"),
        (report, "--jobs", "--jobs needs a value: --jobs JOBS; see"),
        (report, "--jobs many", "--jobs: invalid int value: 'many'"),
        (report, "--out=", "--out: a path is empty, as of a variable of the shell that is not set"),
        (report, "--seeds 0 one", "--seeds: invalid int value: 'one'"),
        (report, "--compare a", "--compare needs 2 values: two folders; see"),
        (report, "--table third", "--table: invalid choice: 'third' (choose from "),
        (report, "--dry-run=maybe", "--dry-run/--dry_run: ignored explicit argument 'maybe'"),
        (passing, "word", "unrecognized arguments: word"),
        (passing, "--seds 1", "there is no option --seds, did you mean '--seeds'?"),
    ],
)
def test_mistake_is_answered(function: Callable[..., Any], line: str, expected: str) -> None:
    with pytest.raises(UsageError) as error:
        call("report", function, line.split())
    assert expected in str(error.value)


def test_help_shows_the_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        call("report", report, ["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: sbn report [FOLDER] [--OPTION VALUE ...]\n\nMake tables.\n")
    assert "\n    seeds: [0, 1]    # as it is written\n" in text
    assert "The folder of the runs." in text
