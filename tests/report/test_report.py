"""The command `sbn report`: what it writes, what it says, and what it does without."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, planned, write_grid, write_run, write_test_arrays
from made_up_runs import sbn as sbn_head

Sbn = Callable[..., None]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Softmax 70, 71, 72 and SBN 71, 72, 73 percent; seeds 0, 1, 2."""
    for seed in range(3):
        write_run(tmp_path / "runs" / f"softmax{seed}", 70 + seed, SOFTMAX, seed)
        write_run(tmp_path / "runs" / f"sbn{seed}", 71 + seed, SBN, seed)
    return tmp_path / "runs"


def written(runs: Path, name: str = "report.md") -> str:
    return (runs / "report" / name).read_text(encoding="utf-8")


def rows(runs: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(written(runs, name).splitlines()))


def test_every_format_and_figure_is_written(sbn: Sbn, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sbn("report", runs)
    said = capsys.readouterr().out
    assert said == f"Written to {runs}/report/: report.html, report.md, report.tex, figures/, *.csv\n"
    figures = [f"figures/madeup_resnet18_{name}" for name in ("gradients", "logits", "training", "weights")]
    assert sorted(str(path.relative_to(runs / "report")) for path in (runs / "report").rglob("*.*")) == [
        *(f"{figure}.{kind}" for figure in figures for kind in ("png", "svg")),
        *("report.csv", "report.html", "report.md", "report.tex", "runs.csv"),
    ]


def test_table_holds_means_intervals_and_what_could_have_been_shown(sbn: Sbn, runs: Path) -> None:
    sbn("report", runs)
    text = written(runs)
    assert "| softmax | not recorded | 3/3 | 71.00 ± 1.00 (3) | – | – |  | – |" in text
    # standard error √(2/3), 4 degrees of freedom: 1 ± 2.776·0.816; detectable 3.761·0.816 = 3.07
    assert (
        "| SBN, scale 0.9 | not recorded | 3/3 | 72.00 ± 1.00 (3) | – | – | +1.00 (−1.27 to +3.27) | 3.07; 17 runs"
        in text
    )
    assert (
        "SBN, scale 0.9: +1.00 points against softmax, 95 % interval −1.27 to +3.27 (Welch), 3 runs. The interval "
        "holds 0: these runs show no difference. With this spread they could have shown 3.07 points (80 % power). "
        "Finding a difference of 1 point takes 17 runs of each, at 80 % power and if this spread holds."
    ) in text
    assert "| SBN, scale 0.9 | 0.060 | 0.020 | 0.900 | 0.800 | 0.00 | 1.5 | 1.0 GiB | 0123456789ab |" in text


def test_mcnemar_stands_apart_for_the_lowest_common_seed(sbn: Sbn, runs: Path) -> None:
    sbn("report", runs)
    # Of the same 1,000 images, 700 and 710 are right, counted from the first: p = 2·(1/2)^10.
    assert (
        "Two trained networks, softmax0 and sbn0, on these 1,000 images: the first alone has 0 right, the second alone "
        "10, both 700, neither 290; McNemar's exact test p = 0.002."
    ) in written(runs)


def test_paper_is_compared_with_both_spreads(sbn: Sbn, runs: Path) -> None:
    paper = {"mean": 70.0, "std": 0.5, "runs": 3}
    write_grid(runs, [planned(f"sbn{seed}", SBN, "SBN", seed, declared=True, paper=paper) for seed in range(3)])
    sbn("report", runs)
    # pooled s = √((2·1 + 2·0.25)/4) = 0.79; 2.776·0.79·√(2/3) = 1.79
    assert "| 3/3 | 72.00 ± 1.00 (3) | 70.00 ± 0.50 (3) | +2.00 (+0.21 to +3.79) |" in written(runs)


def test_many_heads_have_intervals_that_hold_together(sbn: Sbn, runs: Path) -> None:
    for seed in range(3):
        write_run(runs / f"am{seed}", 75 + seed, AM_SOFTMAX, seed)
        write_run(runs / f"other{seed}", 90 + seed, sbn_head(1.0), seed)
    sbn("report", runs)
    section = written(runs).partition("## All heads against softmax")[2].partition("## How to read this")[0]
    assert "2 comparisons: if no head differed from softmax, 0.1 of the 95 % intervals" in section
    # the 98.75 % point of t with 4 degrees of freedom is 3.495: ± 2.85
    assert (
        "| MadeUp, ResNet18: AM-Softmax, scale 7.5, margin 0.35 | +5.00 | +2.73 to +7.27 | +2.15 to +7.85 | Welch |"
        in section
    )
    assert "scale 1 " not in section
    assert "Not set against softmax, since not declared before the results: SBN, scale 1." in written(runs)


def test_several_tables_begin_with_the_declared_row_beside_the_papers_claim(sbn: Sbn, tmp_path: Path) -> None:
    entries = []
    for backbone in ("A", "B"):
        for head, label, mean in ((SOFTMAX, "softmax", 60.0), (SBN, "SBN", 61.5)):
            for seed in range(3):
                name = f"{backbone}_{label}{seed}"
                paper = {"mean": mean, "std": 0.5, "runs": 3}
                more = {"backbone": backbone, "declared": label == "SBN", "paper": paper}
                entries.append(planned(name, head, label, seed, **more))
                write_run(tmp_path / "runs" / name, mean + 9 + seed, head, seed, backbone=backbone)
    write_grid(tmp_path / "runs", entries)
    sbn("report", tmp_path / "runs")
    start = written(tmp_path / "runs").partition("## MadeUp")[0]
    for backbone in ("A", "B"):
        row = f"| MadeUp, {backbone}: SBN, scale 0.9 | 70.00 ± 1.00 (3) | 71.50 ± 1.00 (3) | +1.50 (−0.77 to +3.77) | "
        assert f"{row}+1.50 | 3.07; 17 runs for 1.00 |" in start


def test_csv_files_hold_the_numbers_themselves(sbn: Sbn, runs: Path) -> None:
    sbn("report", runs)
    softmax, scaled = rows(runs, "report.csv")
    assert float(scaled["accuracy_mean"]) == pytest.approx(72)
    assert float(scaled["from_softmax_lower"]) == pytest.approx(1 - 2.7764451 * (2 / 3) ** 0.5)
    assert softmax["from_softmax"] == ""
    assert [(row["run"], row["seed"], row["accuracy"]) for row in rows(runs, "runs.csv")][:2] == [
        ("sbn0", "0", "71.0"), ("sbn1", "1", "72.0"),
    ]  # fmt: skip


def test_page_needs_nothing_from_elsewhere(sbn: Sbn, runs: Path) -> None:
    sbn("report", runs)
    page = written(runs, "report.html")
    assert page.count("<svg") == 4
    assert "<link" not in page
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))


def test_latex_is_balanced_and_escaped(sbn: Sbn, runs: Path) -> None:
    sbn("report", runs)
    text = written(runs, "report.tex")
    assert r"71.00 $\pm$ 1.00 (3)" in text
    assert r"weight\_decay" in text
    assert "95 \\%" in text
    for name in ("table", "tabular", "itemize"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") > 0
    assert "McNemar's exact test p = 0.002." in text
    columns = {line.count("&") for line in text.splitlines() if line.startswith(("softmax &", "SBN, scale 0.9 &"))}
    assert columns == {7, 8}


def test_same_runs_give_the_same_bytes(sbn: Sbn, runs: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        sbn("report", runs, "--out", tmp_path / out)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 13
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_runs_that_did_not_finish_are_counted_and_listed(sbn: Sbn, runs: Path) -> None:
    entries = [planned(f"sbn{seed}", SBN, "SBN", seed, declared=True) for seed in range(5)]
    write_grid(runs, entries)
    (runs / "sbn3").mkdir()
    (runs / "sbn3" / "run.json").write_text(json.dumps({"state": "failed", "error": "Traceback\nthe loss is | NaN"}))
    (runs / "sbn1" / "results.json").write_text("{")
    sbn("report", runs)
    text = written(runs)
    assert "8 runs: 5 finished, 1 failed, 1 not started, 1 unreadable." in text
    assert "| SBN, scale 0.9 | paper | 2/4 (of 5) | 72.00 ± 1.41 (2) |" in text
    assert "| sbn3 | failed | the loss is \\| NaN |" in text
    assert "### Error of sbn3\n\n    Traceback\n    the loss is | NaN" in text
    assert re.search(r"\| sbn1 \| unreadable \| .*results\.json cannot be read", text)


def test_older_runs_without_test_arrays_lose_their_figures_with_a_note(sbn: Sbn, runs: Path) -> None:
    (runs / "sbn0" / "test.npz").unlink()
    for name in ("softmax0", "softmax1", "softmax2"):
        (runs / name / "metrics.csv").unlink()
    sbn("report", runs)
    assert "Figure 2 is left out: no test.npz in sbn0" in written(runs)
    assert "McNemar's test of softmax0 and sbn0 is left out" in written(runs)
    assert "There are no gradient curves" in written(runs)
    assert "madeup_resnet18_training.svg" in written(runs)


def test_large_files_are_read_of_drawn_runs_only(sbn: Sbn, runs: Path) -> None:
    for name in ("am", "other"):
        write_run(runs / name, 70, AM_SOFTMAX if name == "am" else sbn_head(1.0))
    for broken in (runs / "am", runs / "other"):
        (broken / "metrics.csv").write_text("broken")
        (broken / "test.npz").write_text("broken")
    (runs / "sbn1" / "test.npz").write_text("broken")  # another seed stands for the row
    sbn("report", runs)
    assert "left out" not in written(runs)


def test_mcnemar_takes_the_predictions_and_only_without_them_the_rounded_logits(sbn: Sbn, runs: Path) -> None:
    file = runs / "sbn0" / "test.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays["logits"] = np.zeros_like(arrays["logits"])  # so that the first class is always the highest
    np.savez(file, **arrays)
    sbn("report", runs)
    assert "the second alone 10, both 700, neither 290" in written(runs)
    of_first_class = int((arrays["labels"] == 0).sum())
    del arrays["predictions"]
    np.savez(file, **arrays)
    sbn("report", runs)
    found = re.search(r"the second alone (\d+), both (\d+), neither", written(runs))
    assert found is not None
    assert int(found[1]) + int(found[2]) == of_first_class


def test_tables_that_differ_in_the_images_shape_have_numbers_and_figures_of_their_own(sbn: Sbn, tmp_path: Path) -> None:
    for size in (64, 96):
        write_run(tmp_path / "runs" / f"softmax{size}", size, SOFTMAX, shape=[3, size, size])
    sbn("report", tmp_path / "runs")
    text = written(tmp_path / "runs")
    for size in (64, 96):
        section = text.partition(f"## MadeUp (3×{size}×{size}), ResNet18\n")[2].partition("## ")[0]
        assert f"| softmax | not recorded | 1/1 | {size}.00 (1) |" in section
        assert f"figures/madeup_3_{size}_{size}_resnet18_training.svg" in section


def test_row_whose_softmax_was_trained_otherwise_is_marked_in_the_first_table(sbn: Sbn, tmp_path: Path) -> None:
    for backbone in ("A", "B"):
        for seed in range(2):
            write_run(tmp_path / "runs" / f"softmax{backbone}{seed}", 70 + seed, SOFTMAX, seed, backbone=backbone)
            commit = {"commit": "other"} if backbone == "B" else {}
            write_run(tmp_path / "runs" / f"sbn{backbone}{seed}", 71 + seed, SBN, seed, backbone=backbone, **commit)
    sbn("report", tmp_path / "runs")
    text = written(tmp_path / "runs")
    start = text.partition("## MadeUp")[0]
    assert "| MadeUp, A: SBN, scale 0.9 | 70.50" in start
    assert "| MadeUp, B: SBN, scale 0.9† | 70.50" in start
    assert "- † Its softmax differs in more than the head, of these: commits." in start
    assert text.count("| MadeUp, B: SBN, scale 0.9† |") == 2  # and among all heads against softmax
    assert r"scale 0.9\dag{} &" in written(tmp_path / "runs", "report.tex")


@pytest.mark.parametrize(
    ("reach", "said"),
    [
        (30.0, "the axis holds 99.9 % of each distribution."),
        (2.0, "less than 99.9 % of SBN, scale 0.9, whose outermost bins also hold what lies beyond."),
    ],
)
def test_figure_2_claims_no_coverage_that_its_bins_do_not_show(
    sbn: Sbn, runs: Path, tmp_path: Path, reach: float, said: str
) -> None:
    record = json.loads((runs / "sbn0" / "results.json").read_text())
    write_test_arrays(runs / "sbn0", record, reach)
    sbn("report", "--compare", runs / "softmax0", runs / "sbn0", "--out", tmp_path / "out")
    assert said in (tmp_path / "out" / "compare.md").read_text()


def test_networks_that_were_tested_on_other_images_are_not_compared(sbn: Sbn, runs: Path) -> None:
    record = json.loads((runs / "sbn0" / "results.json").read_text())
    record["training"]["seed"] = 7  # other labels
    write_test_arrays(runs / "sbn0", record)
    sbn("report", runs)
    assert "is left out: they were tested on different images" in written(runs)


def test_softmax_alone_and_a_single_run_claim_nothing(sbn: Sbn, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "one", 70, SOFTMAX)
    sbn("report", tmp_path / "runs")
    assert "1 run: 1 finished." in written(tmp_path / "runs")
    assert "| softmax | not recorded | 1/1 | 70.00 (1) | – | – |  | – |" in written(tmp_path / "runs")
    write_run(tmp_path / "runs" / "two", 71)
    sbn("report", tmp_path / "runs")
    assert "+1.00 points against softmax, 1 run; no interval: a single run has no spread." in written(tmp_path / "runs")


def test_without_a_declared_sbn_row_another_head_is_drawn_beside_softmax(sbn: Sbn, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "softmax", 70, SOFTMAX)
    write_run(tmp_path / "runs" / "am", 71, AM_SOFTMAX)
    for scale in (0.8, 1.0):
        write_run(tmp_path / "runs" / f"sbn{scale}", 71, sbn_head(scale))
    sbn("report", tmp_path / "runs")
    assert "Two trained networks, softmax and am, on these 1,000 images" in written(tmp_path / "runs")


def test_without_softmax_the_difference_is_blank_with_its_reason(sbn: Sbn, tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / "runs" / str(seed), 70 + seed, seed=seed)
    sbn("report", tmp_path / "runs")
    assert "| 71.00 ± 1.00 (3) | – | – | no finished softmax run | – |" in written(tmp_path / "runs")


@pytest.mark.parametrize("folders", [("softmax1", "sbn1"), ("softmax", "sbn")])
def test_any_two_runs_or_folders_of_runs_are_compared(
    sbn: Sbn, runs: Path, tmp_path: Path, folders: tuple[str, str]
) -> None:
    for head in ("softmax", "sbn"):
        (tmp_path / head).mkdir()
        for seed in range(3):
            (runs / f"{head}{seed}").rename(tmp_path / head / f"{head}{seed}")
    first, second = (tmp_path / folder[:-1] / folder if folder[-1] == "1" else tmp_path / folder for folder in folders)
    sbn("report", "--compare", first, second, "--out", tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text()
    assert text.startswith("# softmax and SBN, scale 0.9\n")
    expected = (
        "no interval: a single run has no spread"
        if folders[0] == "softmax1"
        else "95 % interval −1.27 to +3.27 (Welch)"
    )
    assert f"SBN, scale 0.9 minus softmax: +1.00 points, {expected}." in text
    latex, percent = (tmp_path / "out" / "compare.tex").read_text(), r"\%"
    assert f"minus softmax: +1.00 points, {expected.replace('%', percent).replace('−', '$-$')}." in latex
    assert (tmp_path / "out" / "compare.html").read_text().count("<svg") == 4


def test_runs_on_different_data_are_compared_with_a_warning(sbn: Sbn, runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "other", 75, dataset="Other", classes=7)
    sbn("report", "--compare", runs / "sbn0", tmp_path / "other", "--out", tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "They differ in data or backbone: the difference is not the heads' alone." in text
    assert "Norms of the weights of the first 7 classes" in text
    assert "McNemar's test of sbn0 and other is left out: they were tested on different images." in text


@pytest.mark.parametrize(
    ("facts", "caution"),
    [
        ({"fingerprint": "other images"}, "They differ in data or backbone"),
        ({"shape": [3, 64, 64]}, "They differ in data or backbone"),
        ({"precision": "bf16-mixed"}, "They were trained differently"),
    ],
)
def test_runs_of_the_same_names_that_differ_otherwise_are_compared_with_a_warning(
    sbn: Sbn, runs: Path, tmp_path: Path, facts: dict[str, object], caution: str
) -> None:
    write_run(tmp_path / "other", 75, **facts)
    sbn("report", "--compare", runs / "sbn0", tmp_path / "other", "--out", tmp_path / "out")
    assert caution in (tmp_path / "out" / "compare.md").read_text()


def test_report_says_what_its_numbers_cannot_know(sbn: Sbn, runs: Path) -> None:
    sbn("report", runs)
    text = written(runs)
    assert "calibration and cost, means over the runs (memory: the highest)" in text
    assert "The paper says neither what its ± is" in text
    assert "runs that shared cores or a GPU (--jobs) took longer" in text


def test_two_runs_of_the_same_head_are_told_apart_by_their_folders(sbn: Sbn, runs: Path, tmp_path: Path) -> None:
    sbn("report", "--compare", runs / "sbn0", runs / "sbn1", "--out", tmp_path / "out")
    assert (
        (tmp_path / "out" / "compare.md").read_text().startswith("# SBN, scale 0.9 (sbn0) and SBN, scale 0.9 (sbn1)\n")
    )


MISTAKES: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "sbn report needs the folder that holds the runs: sbn report DIR"),
    "no such folder": (["nowhere"], "nowhere is no folder"),
    "empty folder": (["."], r"there are no runs below .; make some with sbn reproduce --table digits"),
    "unknown option": ([".", "--outt", "x"], "unrecognized arguments: --outt x; see sbn report --help"),
    "one run to compare": (["--compare", "a"], "expected 2 arguments"),
    "nothing to compare": (["--compare", ".", "."], "holds no finished run that could be compared (there is no run)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_answered_in_one_line(sbn: Sbn, mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, expected = MISTAKES[mistake]
    with pytest.raises(SystemExit) as end:
        sbn("report", *arguments)
    assert end.value.code == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


def test_folders_of_different_heads_are_not_compared_as_one(
    sbn: Sbn, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sbn("report", "--compare", runs, runs / "sbn0")
    assert (
        "differ in more than their seed (MadeUp, ResNet18, softmax; MadeUp, ResNet18, SBN, scale 0.9)"
        in capsys.readouterr().err
    )


def test_help_names_what_can_be_given(sbn: Sbn, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        sbn("report", "--help")
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: sbn report [DIR] [--out DIR] [--compare RUN_A RUN_B]\n")


def test_report_imports_neither_torch_nor_lightning_nor_scipy(runs: Path) -> None:
    program = (
        "import sys; from sbn_lightning.cli import main; main(['report', sys.argv[1]]); "
        "print(sorted({'torch', 'lightning', 'scipy', 'pandas', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program, str(runs)], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_many_tables_are_drawn_by_several_processes_and_look_the_same(sbn: Sbn, tmp_path: Path) -> None:
    for number, backbone in enumerate(["A", "B", "C", "D"]):
        for part in ("one", "all"):
            if part == "all" or number == 0:
                write_run(tmp_path / part / backbone, 70, SOFTMAX, backbone=backbone)
    for part in ("one", "all"):
        sbn("report", tmp_path / part)
    for name in ("logits", "training"):
        one, many = (tmp_path / part / "report" / "figures" / f"madeup_a_{name}.svg" for part in ("one", "all"))
        assert one.read_bytes() == many.read_bytes()
