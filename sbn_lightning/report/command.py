"""`sbn report`: makes tables, intervals and figures from finished runs."""

from pathlib import Path

from sbn_lightning.errors import UsageError
from sbn_lightning.report.content import full_report
from sbn_lightning.report.groups import group_runs
from sbn_lightning.report.provenance import command_of
from sbn_lightning.report.render import write_csv, write_report
from sbn_lightning.report.rows import Row
from sbn_lightning.report.runs import read_runs
from sbn_lightning.report.side_by_side import side_by_side
from sbn_lightning.terminal import show


def report(folder: Path | None = None, *, out: Path | None = None, compare: tuple[Path, Path] | None = None) -> None:
    """Make tables, intervals and figures from finished runs.

    Writes report.html, report.md, report.tex, report.csv and runs.csv of all runs below a folder, and compare.html,
    compare.md and compare.tex of two that are compared. Their figures are in figures/: for light pages (SVG), for dark
    ones (SVG) and for LaTeX (PDF).

    Args:
        folder: The folder that contains the runs, made by `sbn reproduce` or `sbn fit`.
        out: Where to write; default: FOLDER/report, or ./report without a folder.
        compare: Two runs' folders, or two folders of runs that differ in their seed only. The first, or else softmax,
            is what the other one is compared with.

    Raises:
        UsageError: If there is no run to report on, or one of those named cannot be compared.
    """
    if folder is None and compare is None:
        raise UsageError("name the folder that contains the runs, as in: sbn report runs; see sbn report --help")
    place = () if out is None else ("--out", out)
    out = out or (folder / "report" if folder else Path("report"))
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    if folder:
        runs = read_runs(folder, skip=out.resolve())
        if not runs:
            advice = "make some with sbn reproduce --table digits, or sbn fit and sbn test"
            raise UsageError(f"there are no runs below {folder}; {advice}")
        groups = group_runs(runs)
        command = command_of("sbn", "report", folder, *place)
        written = write_report(full_report(runs, groups, out / "figures", command), out, "report")
        tables = [({"dataset": group.dataset, "backbone": group.backbone}, group.rows) for group in groups]
        write_csv(out / "report.csv", [table | row.line() for table, rows in tables for row in rows])
        write_csv(out / "runs.csv", [run.line() for run in runs])
        show(("Written", f"{out}/: {written}, report.csv, runs.csv"), opened(out / "report.html"))
    if compare:
        rows = sorted(map(row_in, compare), key=lambda row: not row.is_softmax)
        if rows[0].label == rows[1].label:
            names = [path.name for path in compare] if compare[0].name != compare[1].name else ["first", "second"]
            for row, name in zip(rows, names, strict=True):
                row.label = f"{row.label} ({name})"
        command = command_of("sbn", "report", "--compare", *compare, *place)
        written = write_report(side_by_side(rows, out / "figures", command), out, "compare")
        show(("Written", f"{out}/: {written}"), opened(out / "compare.html"))


def opened(page: Path) -> tuple[str, str]:
    """Say where a browser finds a page."""
    return "Open", page.resolve().as_uri()


def row_in(folder: Path) -> Row:
    """Return the one row that a folder's finished runs make up, or raise a UsageError."""
    runs = read_runs(folder)
    rows = [(group, row) for group in group_runs(runs) for row in group.rows if row.finished]
    if not rows:
        states = ", ".join(f"{run.name}: {run.state}{run.note and '; '}{run.note}" for run in runs) or "there is no run"
        raise UsageError(f"{folder} contains no finished run that could be compared ({states})")
    if len(rows) > 1:
        kinds = "; ".join(f"{group.title}, {row.label}" for group, row in rows)
        advice = "name a run, or a folder of runs that differ in nothing else"
        raise UsageError(f"{folder} contains runs that differ in more than their seed ({kinds}); {advice}")
    return rows[0][1]
