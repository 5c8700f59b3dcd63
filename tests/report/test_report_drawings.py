"""What a report shows of softmax and one other row: figures; of single runs, McNemar's test of two networks."""

import re
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, planned, write_grid, write_run, write_test_arrays, written
from made_up_runs import sbn as sbn_head

from sbn_lightning.report.command import report
from sbn_lightning.run.records import read_results


def test_mcnemar_compares_single_runs_by_their_predictions_and_not_by_the_rounded_logits(
    runs: Path, tmp_path: Path
) -> None:
    file = runs / "sbn0" / "test.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    np.savez(file, **arrays | {"logits": np.zeros_like(arrays["logits"])})
    report(compare=(runs / "softmax0", runs / "sbn0"), out=tmp_path / "out")
    # Of the same 1,000 images, 700 and 710 are right, counted from the first: p = 2·(1/2)^10.
    assert (
        "Two trained networks, softmax0 and sbn0, on these 1,000 images: the first alone has 0 right, the second alone "
        "10, both 700, neither 290; McNemar's exact test p = 0.002."
    ) in (tmp_path / "out" / "compare.md").read_text()


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "sbn0 has no test.npz; sbn test writes it."), (b"PK\3\4", "sbn0/test.npz cannot be read: ")],
)
def test_missing_or_broken_files_cost_their_figures_with_a_note(runs: Path, content: bytes | None, why: str) -> None:
    (runs / "sbn0" / "test.npz").unlink()
    if content:
        (runs / "sbn0" / "test.npz").write_bytes(content)
    for name in ("softmax0", "softmax1", "softmax2"):
        (runs / name / "metrics.csv").unlink()
    report(runs)
    text = written(runs)
    assert re.search(f"Figure 2 is left out: .*{re.escape(why)}", text)
    assert re.search(f"- No interval that is also for other images: .*{re.escape(why)}", text)
    assert "The gradient curves are left out: no gradients were logged." in text
    assert "madeup_resnet18_training.svg" in text


def test_curves_that_early_stopping_watches_are_not_said_to_choose_nothing(tmp_path: Path) -> None:
    for head in (SOFTMAX, SBN):
        write_run(tmp_path / "runs" / head.name, 70, head, callbacks=["EarlyStopping(monitor=val/loss)"])
    report(tmp_path / "runs")
    assert "Early stopping may have chosen the last epoch by one of these curves." in written(tmp_path / "runs")
    assert "No epoch was chosen by these curves" not in written(tmp_path / "runs")


def test_large_files_are_read_of_compared_runs_only(runs: Path) -> None:
    for name in ("am", "other"):
        write_run(runs / name, 70, AM_SOFTMAX if name == "am" else sbn_head(1.0))
    for broken in (runs / "am", runs / "other"):
        (broken / "metrics.csv").write_text("broken")
        (broken / "test.npz").write_text("broken")  # the row is a single run, or is not declared
    write_grid(runs, [planned(f"sbn{seed}", SBN, "SBN (0.9)", seed, declared=True) for seed in range(3)])
    report(runs)
    assert "is left out:" not in written(runs)
    assert "cannot be read" not in written(runs)


@pytest.mark.parametrize(
    ("reach", "said"),
    [
        (30.0, "the axis holds 99.9 % of each distribution."),
        (2.0, "less than 99.9 % of SBN, scale 0.9, whose outermost bins also hold what lies beyond."),
    ],
)
def test_figure_2_claims_no_coverage_that_its_bins_do_not_show(
    runs: Path, tmp_path: Path, reach: float, said: str
) -> None:
    write_test_arrays(runs / "sbn0", read_results(runs / "sbn0"), reach)
    report(compare=(runs / "softmax0", runs / "sbn0"), out=tmp_path / "out")
    assert said in (tmp_path / "out" / "compare.md").read_text()


def test_without_a_declared_sbn_row_another_head_is_drawn_beside_softmax(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "softmax", 70, SOFTMAX)
    write_run(tmp_path / "runs" / "am", 71, AM_SOFTMAX)
    for scale in (0.8, 1.0):
        write_run(tmp_path / "runs" / f"sbn{scale}", 71, sbn_head(scale))
    report(tmp_path / "runs")
    assert "Two trained networks, softmax and am, on these 1,000 images" in written(tmp_path / "runs")
