"""What the files of a report hold, and what they say."""

import csv
import re
from pathlib import Path

import pytest
from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, planned, results, write_grid, write_run, written
from made_up_runs import sbn as sbn_head
from msgspec.structs import replace

from sbn_lightning.report.command import report
from sbn_lightning.run.files import RESULTS, RUN
from sbn_lightning.run.records import Attempts, Published, write_record


def rows(runs: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(written(runs, name).splitlines()))


def test_every_format_and_figure_is_written_with_the_same_bytes_each_time(
    reported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(reported, out=tmp_path / "again")
    files = "report.html, report.md, report.tex, figures/, *.csv"
    assert capsys.readouterr().out == f"Written to {tmp_path}/again/: {files}\n"
    names = sorted(str(path.relative_to(tmp_path / "again")) for path in (tmp_path / "again").rglob("*.*"))
    assert names == [
        *(f"figures/madeup_resnet18_{name}.svg" for name in ("gradients", "logits", "training", "weights")),
        *("report.csv", "report.html", "report.md", "report.tex", "runs.csv"),
    ]
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (reported / "report" / name).read_bytes(), name


def test_table_holds_means_intervals_and_what_could_have_been_shown(reported: Path) -> None:
    text = written(reported)
    assert "| softmax | not recorded | 3/3 | 71.00 ± 1.00 (3) | – | – |  | – |" in text
    # standard error √(2/3), 4 degrees of freedom: 1 ± 2.776·0.816; detectable 3.761·0.816 = 3.07
    cells = "not recorded | 3/3 | 72.00 ± 1.00 (3) | – | – | +1.00 (−1.27 to +3.27) | 3.07; 17 runs"
    assert f"| SBN, scale 0.9 | {cells}" in text
    assert (
        "SBN, scale 0.9: +1.00 points against softmax, 95 % interval −1.27 to +3.27 (Welch), 3 runs. The interval "
        "contains 0: these runs do not show a difference. With this spread they could have shown 3.07 points (80 % "
        "power). Finding a difference of 1 point takes 17 runs of each, at 80 % power and if this spread holds."
    ) in text
    assert "other measures and cost, means over the runs (memory: the highest)" in text
    assert "| Head | ECE | refitted | NLL | refitted | Best − last | Minutes |" in text
    assert "| SBN, scale 0.9 | 0.060 | 0.020 | 0.900 | 0.800 | 0.00 | 1.5 | 1.0 GiB | 0123456789ab |" in text
    assert "runs that shared cores or a GPU (--jobs) took longer." in text


def test_csv_files_hold_the_numbers_themselves(reported: Path) -> None:
    softmax, scaled = rows(reported, "report.csv")
    assert float(scaled["accuracy_mean"]) == pytest.approx(72)
    assert float(scaled["from_softmax_lower"]) == pytest.approx(1 - 2.7764451 * (2 / 3) ** 0.5)
    assert softmax["from_softmax"] == ""
    assert [(row["run"], row["seed"], row["accuracy"]) for row in rows(reported, "runs.csv")][:2] == [
        ("sbn0", "0", "71.0"), ("sbn1", "1", "72.0"),
    ]  # fmt: skip


def test_page_needs_nothing_from_elsewhere(reported: Path) -> None:
    page = written(reported, "report.html")
    assert page.count("<svg") == 4
    assert not re.search("<link|<script", page)
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))


def test_latex_is_balanced_and_escaped(reported: Path) -> None:
    text = written(reported, "report.tex")
    assert all(part in text for part in (r"71.00 $\pm$ 1.00 (3)", r"weight\_decay", "95 \\%"))
    assert "McNemar's exact test p = 0.002." in text
    for name in ("table", "tabular", "itemize"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") > 0
    columns = {line.count("&") for line in text.splitlines() if line.startswith(("softmax &", "SBN, scale 0.9 &"))}
    assert columns == {7, 8}


def test_paper_is_compared_with_both_spreads(runs: Path) -> None:
    paper = Published(70.0, 0.5, 3)
    write_grid(runs, [planned(f"sbn{seed}", SBN, "SBN", seed, declared=True, paper=paper) for seed in range(3)])
    report(runs)
    # pooled s = √((2·1 + 2·0.25)/4) = 0.79; 2.776·0.79·√(2/3) = 1.79
    assert "| 3/3 | 72.00 ± 1.00 (3) | 70.00 ± 0.50 (3) | +2.00 (+0.21 to +3.79) |" in written(runs)


def test_many_heads_have_intervals_that_hold_together(runs: Path) -> None:
    for seed in range(3):
        write_run(runs / f"am{seed}", 75 + seed, AM_SOFTMAX, seed)
        write_run(runs / f"other{seed}", 90 + seed, sbn_head(1.0), seed)
    write_grid(runs, [planned(f"sbn{seed}", SBN, "SBN (0.9)", seed, declared=True) for seed in range(3)])
    report(runs)
    section = written(runs).partition("## All heads against softmax")[2].partition("## How to read this")[0]
    assert "2 comparisons: if no head differed from softmax, 0.1 of the 95 % intervals" in section
    # the 98.75 % point of t with 4 degrees of freedom is 3.495: ± 2.85
    cells = "+5.00 | +2.73 to +7.27 | +2.15 to +7.85 | Welch"
    assert f"| MadeUp, ResNet18: AM-Softmax, scale 7.5, margin 0.35 | {cells} |" in section
    assert "scale 1 " not in section
    assert "Not compared with softmax, since not declared alone before the results: SBN, scale 1." in written(runs)


def test_several_tables_begin_with_the_declared_rows_beside_the_papers_claim_and_mark_unlike_ones(
    tmp_path: Path,
) -> None:
    entries = []
    for backbone in ("A", "B"):
        for head, label, mean in ((SOFTMAX, "softmax", 60.0), (SBN, "SBN", 61.5)):
            commit = "other" if (backbone, head) == ("B", SBN) else "the same"
            for seed in range(3):
                name, more = f"{backbone}_{label}{seed}", {"backbone": backbone, "paper": Published(mean, 0.5, 3)}
                entries.append(planned(name, head, label, seed, declared=label == "SBN", **more))
                write_run(tmp_path / "runs" / name, mean + 9 + seed, head, seed, backbone=backbone, commit=commit)
    write_grid(tmp_path / "runs", entries)
    report(tmp_path / "runs")
    text = written(tmp_path / "runs")
    start = text.partition("## MadeUp")[0]
    for backbone, mark in (("A", ""), ("B", "†")):
        numbers = "70.00 ± 1.00 (3) | 71.50 ± 1.00 (3) | +1.50 (−0.77 to +3.77) | +1.50 | 3.07; 17 runs for 1.00"
        assert f"| MadeUp, {backbone}: SBN, scale 0.9{mark} | {numbers} |" in start
        section = text.partition(f"## MadeUp, {backbone}\n")[2].partition("## ")[0]
        assert f"(figures/madeup_{backbone.lower()}_training.svg)" in section
    assert "- † Its softmax differs in more than the head, of these: commits." in start
    assert text.count("| MadeUp, B: SBN, scale 0.9† |") == 2  # and among all heads against softmax
    assert r"scale 0.9\dag{} &" in written(tmp_path / "runs", "report.tex")


def test_runs_that_did_not_finish_are_counted_and_listed(runs: Path) -> None:
    entries = [planned(f"sbn{seed}", SBN, "SBN", seed, declared=True) for seed in range(5)]
    write_grid(runs, entries)
    write_record(runs / "sbn3" / RUN, Attempts(1, error="Traceback\nthe loss is | NaN"))
    (runs / "sbn1" / RESULTS).write_text("{")
    report(runs)
    text = written(runs)
    assert "8 runs: 5 finished, 1 failed, 1 not started, 1 unreadable." in text
    assert "| SBN, scale 0.9 | paper | 2/4 (of 5) | 72.00 ± 1.41 (2) |" in text
    assert "| sbn3 | failed | the loss is \\| NaN |" in text
    assert "### Error of sbn3\n\n    Traceback\n    the loss is | NaN" in text
    assert re.search(r"\| sbn1 \| unreadable \| .*results\.json cannot be read", text)


def test_softmax_alone_and_a_single_run_claim_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "one", 70, SOFTMAX)
    report(tmp_path / "runs")
    assert "1 run: 1 finished." in written(tmp_path / "runs")
    assert "| softmax | not recorded | 1/1 | 70.00 (1) | – | – |  | – |" in written(tmp_path / "runs")
    write_run(tmp_path / "runs" / "two", 71)
    report(tmp_path / "runs")
    assert "+1.00 points against softmax, 1 run; no interval: a single run has no spread." in written(tmp_path / "runs")


def test_without_softmax_or_any_result_the_reason_is_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "runs" / "one", 70)
    report(tmp_path / "runs")
    assert "| 70.00 (1) | – | – | no finished softmax run | – |" in written(tmp_path / "runs")
    assert "- SBN, scale 0.9: not compared with softmax, no finished softmax run." in written(tmp_path / "runs")
    write_record(folder / RESULTS, replace(results(70), fit=None))
    write_record(tmp_path / "runs" / "two" / RUN, Attempts(1, error="no memory"))
    report(tmp_path / "runs")
    assert "There are no figures: no run is finished." in written(tmp_path / "runs")
    assert "In no table, since their record does not say what they trained: two." in written(tmp_path / "runs")


def test_measures_appear_where_the_runs_have_them_and_refitted_where_all_have_them(runs: Path) -> None:
    record = results(72)
    metrics = record.evaluations["test"].metrics | {"macro_f1": 0.712}
    test = replace(record.evaluations["test"], metrics=metrics, refitted=None)
    write_record(runs / "sbn0" / RESULTS, replace(record, evaluations={"test": test}))
    report(runs)
    text = written(runs)
    assert "| Head | Macro F1 | ECE | refitted | NLL |" in text
    assert "| softmax | – | 0.060 | 0.020 |" in text
    assert "| SBN, scale 0.9 | 0.712 | 0.060 | – |" in text
    assert "- Refitted is left out where in one of the runs a half of the test set is classified without any" in text
