"""What the files of a report hold, and what they say."""

import csv
import re
import shutil
from pathlib import Path

import pytest
from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, planned, results, write_grid, write_run, written
from made_up_runs import sbn as sbn_head
from msgspec.structs import replace

from sbn_lightning.report.command import report
from sbn_lightning.run.files import RESULTS, RUN
from sbn_lightning.run.grid_records import Published
from sbn_lightning.run.records import Attempts, write_record


def rows(runs: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(written(runs, name).splitlines()))


def test_every_format_and_figure_is_written_with_the_same_bytes_each_time(
    reported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = shutil.copytree(reported / "report", tmp_path / "again")
    report(reported)
    files = "report.html, report.md, report.tex, figures/, report.csv, runs.csv"
    assert capsys.readouterr().out.startswith(f"Written     {reported}/report/: {files}\nOpen        file://")
    names = sorted(str(path.relative_to(copied)) for path in copied.rglob("*.*"))
    assert names == [
        *(
            f"figures/madeup_resnet18_{name}{suffix}"
            for name in ("forest", "gradients", "logits", "training", "weights")
            for suffix in (".pdf", ".svg", "_dark.svg")
        ),
        *("report.csv", "report.html", "report.md", "report.tex", "runs.csv"),
    ]
    for name in names:
        assert (copied / name).read_bytes() == (reported / "report" / name).read_bytes(), name


def test_table_holds_means_intervals_and_what_such_runs_can_find(reported: Path) -> None:
    text = written(reported)
    assert "| softmax | 71.00 ± 1.00 (3) | – | – | – |" in text
    # standard error √(2/3), 4 degrees of freedom: 1 ± 2.776·0.816; detectable 3.761·0.816 = 3.07
    found = "+1.00 (−1.27 to +3.27) | 3.07 (1.84 to 8.82); 18 to 41 runs for 1.00 | −1.27 to +3.27"
    assert f"| SBN, scale 0.9 | 72.00 ± 1.00 (3) | {found} |" in text
    assert (
        "- **SBN, scale 0.9:** these runs cannot tell it apart from softmax: +1.00 points, but any true difference "
        "from −1.27 to +3.27 fits them (95 % interval).\n"
    ) in text
    assert (
        "- Detectable: as many runs with this spread find a true difference of 3.07 points 4 times in 5 (1.84 to 8.82, "
        "since so few runs say little about the spread). To find 1 point takes 18 to 41 runs of each head."
    ) in text
    welch = "−1.27 to +3.27 | 3.51 (2.10 to 10.08) | one spread for the table |"
    assert f"| SBN, scale 0.9 | +1.00 (−1.27 to +3.27) | −1.27 to +3.27 | {welch}" in text
    assert "about other runs of the same training, on this test set, with this split, training set and tuning" in text
    assert (
        "| Head | NLL | NLL − softmax's (95 % over seeds) | NLL refitted (uses test labels) | Brier | Brier − "
        "softmax's (95 % over seeds) | ECE | ECE if calibrated | ECE refitted (uses test labels) |"
    ) in text
    scores = "0.900 | +0.000 (no spread between runs) | 0.800 | 0.400 | +0.000 (no spread between runs)"
    assert f"| SBN, scale 0.9 | {scores} | 0.060 | 0.050 (up to 0.070) | 0.020 |" in text
    assert "other measures and cost, means over the runs (memory: the highest)" in text
    assert "| Head | Best − last | Training time | Peak memory |" in text
    assert "| SBN, scale 0.9 | 0.00 | 90 s | 1.0 GiB |" in text
    assert "runs that shared cores or a GPU (--jobs) took longer." in text


@pytest.mark.parametrize(
    "sentence",
    [
        "What settings were chosen on is not recorded. No epoch was chosen by the test set",
        "this is decided by the design, and not by the results.",
        "A smaller true difference may be found, too, but less often.",
        "if its ± divides by n, the intervals are a few percent too short.",
        "An error within this range is no sign of bad calibration.",
        "No epoch was chosen by these curves.",
    ],
)
def test_report_says_what_its_numbers_cover(reported: Path, sentence: str) -> None:
    assert sentence in written(reported)


def test_two_runs_of_each_plan_nothing(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / "runs" / f"softmax{seed}", 70 + seed, SOFTMAX, seed)
        write_run(tmp_path / "runs" / f"sbn{seed}", 71 + seed, SBN, seed)
    report(tmp_path / "runs")
    text = written(tmp_path / "runs")
    assert re.search(r"\| SBN, scale 0.9 \| .* \| \+1.00 \(−2.04 to \+4.04\) \| −2.04 to \+4.04 \|\n", text)
    assert "as many runs with this spread find" not in text


def test_what_rests_on_the_shared_spread_is_said(tmp_path: Path) -> None:
    for seed, (softmax, scaled) in enumerate([(70.0, 71.0), (70.1, 72.2), (69.9, 73.0)]):
        write_run(tmp_path / "runs" / f"softmax{seed}", softmax, SOFTMAX, seed)
        write_run(tmp_path / "runs" / f"sbn{seed}", scaled, SBN, seed)
    report(tmp_path / "runs")
    said = "; Welch's test, which gives each head a spread of its own, disagrees: −0.40 to +4.53.\n"
    assert said in written(tmp_path / "runs")


def test_csv_files_hold_the_numbers_themselves(reported: Path) -> None:
    softmax, scaled = rows(reported, "report.csv")
    assert float(scaled["accuracy_mean"]) == pytest.approx(72)
    assert float(scaled["from_softmax_lower"]) == pytest.approx(1 - 2.7764451 * (2 / 3) ** 0.5)
    assert float(scaled["from_softmax_standard_error"]) == pytest.approx((2 / 3) ** 0.5)
    assert (scaled["from_softmax_df"], scaled["from_softmax_method"]) == ("4", "one spread for the table")
    assert scaled["test_images"] == "1000"
    # a single comparison: the interval for all together is its own
    assert float(scaled["from_softmax_all_together_lower"]) == pytest.approx(1 - 2.7764451 * (2 / 3) ** 0.5, abs=1e-3)
    assert float(scaled["from_softmax_other_images_lower"]) <= float(scaled["from_softmax_lower"])
    assert [float(scaled[f"detectable{end}"]) for end in ("_lowest", "", "_highest")] == pytest.approx(
        [1.84, 3.07, 8.82], abs=0.01
    )
    assert softmax["from_softmax"] == ""
    assert [(row["run"], row["seed"], row["accuracy"]) for row in rows(reported, "runs.csv")][:2] == [
        ("sbn0", "0", "71.0"), ("sbn1", "1", "72.0"),
    ]  # fmt: skip


def test_page_needs_nothing_from_elsewhere(reported: Path) -> None:
    page = written(reported, "report.html")
    assert page.count("<svg") == 5
    assert not re.search("<link|<script", page)
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))


def test_latex_is_balanced_and_escaped(reported: Path) -> None:
    text = written(reported, "report.tex")
    assert all(part in text for part in (r"71.00 $\pm$ 1.00 (3)", r"weight\_decay", "95 \\%"))
    assert "95 \\% over seeds)" in text
    assert text.isascii()  # every sign that the report uses has a name in LaTeX
    for name in ("table", "tabular", "itemize", "figure"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") > 0
    columns = {
        line.count("&") for line in text.splitlines() if re.match(r"\\raggedright (softmax|SBN, scale 0.9) &", line)
    }
    assert columns == {3, 4, 5, 8}


@pytest.mark.parametrize(
    ("pooled", "interval"),
    [
        # standard error √(1/3 + 0.25/3), 2.94 degrees of freedom
        ((), "−0.08 to +4.08"),
        # standard error √(1/3 + 0.09/3), 2.37 degrees of freedom, of which the paper's have 16
        ((0.3, 16), "−0.24 to +4.24"),
    ],
)
def test_paper_is_compared_by_welch_with_the_spread_of_its_heads(
    runs: Path, pooled: tuple[float, int] | tuple[()], interval: str
) -> None:
    paper = Published(70.0, 0.5, 3, None, *pooled)
    write_grid(runs, [planned(f"sbn{seed}", SBN, "SBN", seed, declared=True, paper=paper) for seed in range(3)])
    report(runs)
    assert f"| 70.00 ± 0.50 (3) | +2.00 ({interval}) |" in written(runs)
    assert (
        "2 differences, in accuracy and in scores, have a 95 % interval over seeds in this report. If there "
        "were no true difference, about 0.1 of them" in written(runs)
    )


def test_many_heads_have_intervals_that_hold_together(runs: Path) -> None:
    for seed in range(3):
        write_run(runs / f"am{seed}", 75 + seed, AM_SOFTMAX, seed)
        write_run(runs / f"other{seed}", 90 + seed, sbn_head(1.0), seed)
    write_grid(runs, [planned(f"sbn{seed}", SBN, "SBN (0.9)", seed, declared=True) for seed in range(3)])
    report(runs)
    section = written(runs).partition("## All comparisons")[2].partition("## How this page was made")[0]
    assert (
        "2 differences, in accuracy and in scores, have a 95 % interval over seeds in this report. If there "
        "were no true difference, about 0.1 of" in section
    )
    row = next(line for line in section.splitlines() if "AM-Softmax" in line)
    _, _, over_seeds, _, together, check, _, method, _ = (cell.strip() for cell in row.split("|"))
    # spread 1 of three heads with 6 degrees of freedom: t 2.447, Dunnett's critical value for two heads 2.86
    assert (over_seeds, together) == ("+5.00 (+3.00 to +7.00)", "+2.66 to +7.34")
    assert (check, method) == ("+2.73 to +7.27", "one spread for the table")
    assert "(Dunnett within a table, Bonferroni between tables and where seeds are paired)" in section
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
        numbers = (
            "71.50 ± 1.00 (3) | 70.00 ± 1.00 (3) | +1.50 (−0.77 to +3.77) | cannot tell | −0.77 to +3.77 | "
            "+1.50 (+0.37 to +2.63) | 3.07 (1.84 to 8.82); 18 to 41 runs for 1.00"
        )
        assert f"| MadeUp, {backbone}: SBN, scale 0.9{mark} | {numbers} |" in start
        section = text.partition(f"## MadeUp, {backbone}\n")[2].partition("## ")[0]
        assert f'"figures/madeup_{backbone.lower()}_training.svg"' in section
    assert "- † Its softmax differs in more than the head, of these: commits." in start
    assert text.count("| MadeUp, B: SBN, scale 0.9† |") == 2  # and among all differences
    # from softmax, from the paper of four rows, and the paper's own
    assert (
        "8 differences, in accuracy and in scores, have a 95 % interval over seeds in this report. If there "
        "were no true difference, about 0.4 of" in text
    )
    assert r"scale 0.9\dag{} &" in written(tmp_path / "runs", "report.tex")


def test_runs_that_did_not_finish_are_counted_and_listed(runs: Path) -> None:
    entries = [planned(f"sbn{seed}", SBN, "SBN", seed, declared=True) for seed in range(5)]
    write_grid(runs, entries)
    write_record(runs / "sbn3" / RUN, Attempts(1, error="Traceback\nthe loss is | NaN"))
    (runs / "sbn1" / RESULTS).write_text("{")
    report(runs)
    text = written(runs)
    assert "8 runs: 5 finished, 1 failed, 1 not started, 1 unreadable." in text
    assert re.search(r"\| SBN, scale 0.9 \| 72.00 ± 1.41 \(2\) \| .* \| 2/4 \(of 5\) \| paper \|", text)
    assert "| sbn3 | failed | the loss is \\| NaN |" in text
    assert "### Error of sbn3\n\n    Traceback\n    the loss is | NaN" in text
    assert re.search(r"\| sbn1 \| unreadable \| .*results\.json cannot be read", text)


def test_softmax_alone_and_a_single_run_claim_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "one", 70, SOFTMAX)
    report(tmp_path / "runs")
    assert "1 run: finished." in written(tmp_path / "runs")
    assert "| softmax | 70.00 (1) |\n" in written(tmp_path / "runs")
    write_run(tmp_path / "runs" / "two", 71)
    report(tmp_path / "runs")
    said = "cannot be told apart from softmax: +1.00 points, without an interval (a single run has no spread)."
    assert f"**SBN, scale 0.9:** {said}" in written(tmp_path / "runs")


def test_without_softmax_or_any_result_the_reason_is_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "runs" / "one", 70)
    report(tmp_path / "runs")
    assert "| 70.00 (1) | no finished softmax run |" in written(tmp_path / "runs")
    assert "- **SBN, scale 0.9:** not compared with softmax, no finished softmax run." in written(tmp_path / "runs")
    write_record(folder / RESULTS, replace(results(70), fit=None))
    write_record(tmp_path / "runs" / "two" / RUN, Attempts(1, error="no memory"))
    report(tmp_path / "runs")
    assert "There are no figures: no run is finished." in written(tmp_path / "runs")
    assert "In no table, since their record does not say what they trained: two." in written(tmp_path / "runs")


def test_measures_appear_where_all_runs_of_a_row_have_them(runs: Path) -> None:
    for seed in range(3):
        record = results(71 + seed, seed=seed)
        test = record.evaluations["test"]
        measured = test.metrics | {"macro_f1": 0.712, "nll": 0.8 + seed / 10}
        if seed == 1:
            measured = {name: value for name, value in measured.items() if name != "brier"}  # an older record
        changed = replace(test, metrics=measured, refitted=test.refitted if seed else None)
        write_record(runs / f"sbn{seed}" / RESULTS, replace(record, evaluations={"test": changed}))
    report(runs)
    text = written(runs)
    assert "| Head | Macro F1 | Best − last |" in text
    assert "| softmax | – | 0.00 |" in text
    assert "| SBN, scale 0.9 | 0.712 | 0.00 |" in text
    assert "| softmax | 0.900 | – | 0.800 | 0.400 | 0.060 | 0.050 (up to 0.070) | 0.020 |" in text
    # Welch's test against 0.9 without a spread: standard error 0.1/√3, 2 degrees of freedom
    assert "| SBN, scale 0.9 | 0.900 | +0.000 (−0.248 to +0.248) | – | – | 0.060 | 0.050 (up to 0.070) | – |" in text
    assert "- Refitted is left out where in one of the runs the images that a scale is fitted on" in text
