"""What a report shows of softmax and one other row: figures, and McNemar's test of two networks."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import AM_SOFTMAX, SOFTMAX, write_run, write_test_arrays, written
from made_up_runs import sbn as sbn_head

Sbn = Callable[..., None]


def test_mcnemar_stands_apart_for_the_lowest_common_seed(sbn: Sbn, runs: Path) -> None:
    sbn("report", runs)
    # Of the same 1,000 images, 700 and 710 are right, counted from the first: p = 2·(1/2)^10.
    assert (
        "Two trained networks, softmax0 and sbn0, on these 1,000 images: the first alone has 0 right, the second alone "
        "10, both 700, neither 290; McNemar's exact test p = 0.002."
    ) in written(runs)


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


def test_without_a_declared_sbn_row_another_head_is_drawn_beside_softmax(sbn: Sbn, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "softmax", 70, SOFTMAX)
    write_run(tmp_path / "runs" / "am", 71, AM_SOFTMAX)
    for scale in (0.8, 1.0):
        write_run(tmp_path / "runs" / f"sbn{scale}", 71, sbn_head(scale))
    sbn("report", tmp_path / "runs")
    assert "Two trained networks, softmax and am, on these 1,000 images" in written(tmp_path / "runs")


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
