"""`sbn report`: tables, intervals and figures out of the folders of finished runs."""

from collections.abc import Sequence
from pathlib import Path

from sbn_lightning.cli.commands import CommandParser
from sbn_lightning.errors import UsageError
from sbn_lightning.report.comparison_page import compare_rows
from sbn_lightning.report.content import full_report
from sbn_lightning.report.csv_files import write_findings, write_runs
from sbn_lightning.report.document import Block
from sbn_lightning.report.findings import find
from sbn_lightning.report.latex import to_latex
from sbn_lightning.report.markdown import to_markdown
from sbn_lightning.report.records import UnreadableRecordError
from sbn_lightning.report.render import to_page
from sbn_lightning.report.rows import Row, group_runs
from sbn_lightning.report.run_folders import read_runs


def report(arguments: Sequence[str]) -> None:
    """Carry out `sbn report`.

    Raises:
        UsageError: If there is no run to report on, or one that was named cannot be compared.
    """
    parser = CommandParser("report", "[DIR] [--out DIR] [--compare RUN_A RUN_B]")
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="the folder that holds the runs' folders")
    parser.add_argument("--out", type=Path, help="where to write; DIR/report if not given, or ./report without a DIR")
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("RUN_A", "RUN_B"),
        help="two runs' folders, or two folders of runs that differ in their seed only; writes compare.html beside",
    )
    options = parser.parse_args(list(arguments))
    if options.folder is None and options.compare is None:
        raise UsageError("sbn report needs the folder that holds the runs: sbn report DIR; see sbn report --help")
    out = options.out or (options.folder / "report" if options.folder else Path("report"))
    if options.folder:
        report_folder(options.folder, out)
    if options.compare:
        rows = [one_row(path) for path in options.compare]
        if rows[0].label == rows[1].label:
            for row, path in zip(rows, options.compare, strict=True):
                row.label = f"{row.label} ({path.name})"
        write_documents(compare_rows(rows[0], rows[1], out / "figures"), out, "compare")
        say(out, "compare")


def report_folder(folder: Path, out: Path) -> None:
    """Report on all runs below a folder."""
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is no folder; sbn report needs one that holds runs, made by sbn reproduce or sbn fit"
        )
    try:
        runs = read_runs(folder, skip=out.resolve())
    except UnreadableRecordError as error:
        raise UsageError(str(error)) from error
    if not runs:
        raise UsageError(
            f"there are no runs below {folder}; make some with sbn reproduce --table digits, or sbn fit and sbn test"
        )
    groups = group_runs(runs)
    out.mkdir(parents=True, exist_ok=True)
    write_documents(full_report(folder.resolve().name, runs, groups, out / "figures"), out, "report")
    write_findings(out / "report.csv", (finding for group in groups for finding in find(group)))
    write_runs(out / "runs.csv", runs)
    say(out, "report")


def write_documents(blocks: Sequence[Block], out: Path, name: str) -> None:
    """The same parts as Markdown, LaTeX and HTML."""
    out.mkdir(parents=True, exist_ok=True)
    for suffix, convert in ((".md", to_markdown), (".tex", to_latex), (".html", to_page)):
        (out / f"{name}{suffix}").write_text(convert(blocks), encoding="utf-8")


def one_row(path: Path) -> Row:
    """The row that a folder's finished runs make up.

    Raises:
        UsageError: If none is finished, or they differ in more than their seed.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is no folder; --compare needs two runs' folders, or folders of several runs")
    runs = read_runs(path)
    rows = [(group, row) for group in group_runs(runs) for row in group.rows if row.finished]
    if not rows:
        states = ", ".join(f"{run.name}: {run.state} {run.note}" for run in runs) or "there is no run"
        raise UsageError(f"{path} holds no finished run that could be compared ({states})")
    if len(rows) > 1:
        kinds = "; ".join(f"{group.title}, {row.label}" for group, row in rows)
        raise UsageError(f"{path} holds runs that differ in more than their seed ({kinds}); name a folder of one kind")
    return rows[0][1]


def say(out: Path, name: str) -> None:
    """Where to look."""
    print(f"Written to {out}/: {name}.html, {name}.md, {name}.tex, figures/" + (", *.csv" if name == "report" else ""))
