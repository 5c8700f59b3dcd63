"""The figures of a report, and of single runs McNemar's test of two networks."""

import re
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, write_run, write_test_arrays, written
from made_up_runs import sbn as sbn_head

from sbn_lightning.report.command import report
from sbn_lightning.report.drawings import sets_of_rows
from sbn_lightning.report.groups import group_runs
from sbn_lightning.report.recorded import gradients_of
from sbn_lightning.report.runs import read_runs
from sbn_lightning.run.facts import ModuleFacts
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
        "Two trained networks, softmax (softmax0) and SBN, scale 0.9 (sbn0), on these 1,000 images: the first alone "
        "has 0 right, the second alone 10, both 700, neither 290; McNemar's exact test p = 0.002."
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
    assert re.search(f"Without SBN, scale 0.9: .*{re.escape(why.rstrip('.'))}", text)
    assert re.search(f"- No interval that is also for other images: .*{re.escape(why)}", text)
    assert "Without softmax: no gradients were logged." in text
    assert "madeup_resnet18_training.svg" in text


def test_curves_that_early_stopping_watches_are_not_said_to_choose_nothing(tmp_path: Path) -> None:
    for head in (SOFTMAX, SBN):
        write_run(tmp_path / "runs" / head.name, 70, head, callbacks=["EarlyStopping(monitor=val/loss)"])
    report(tmp_path / "runs")
    assert "Early stopping may have chosen the last epoch by one of these curves." in written(tmp_path / "runs")
    assert "No epoch was chosen by these curves" not in written(tmp_path / "runs")


def test_all_heads_are_in_all_figures(tmp_path: Path) -> None:
    for head in (SOFTMAX, SBN, AM_SOFTMAX, sbn_head(1.0)):
        write_run(tmp_path / "runs" / f"{head.name}{head.settings.get('scale')}", 70, head)
    (group,) = group_runs(read_runs(tmp_path / "runs"))
    assert sets_of_rows(group.rows) == [group.rows]
    report(tmp_path / "runs")
    assert written(tmp_path / "runs", "report.html").count("<svg") == 5
    assert "Without" not in written(tmp_path / "runs")


def test_rows_that_have_no_color_left_are_in_more_figures_each_with_softmax(tmp_path: Path) -> None:
    for scale in range(1, 10):
        write_run(tmp_path / "runs" / f"sbn{scale}", 70, sbn_head(scale))
    for head in (SOFTMAX, AM_SOFTMAX):
        write_run(tmp_path / "runs" / f"z{head.name}", 70, head)
    (group,) = group_runs(read_runs(tmp_path / "runs"))
    sets = sets_of_rows(group.rows)
    assert [len(rows) for rows in sets] == [6, 6]
    assert [rows[0].label for rows in sets] == ["softmax", "softmax"]
    assert [row for rows in sets for row in rows[1:]] == group.rows[1:]
    report(tmp_path / "runs")
    text = written(tmp_path / "runs")
    assert text.startswith("# softmax, SBN and AM-Softmax on ")
    for number in (1, 2):
        assert f"Training, MadeUp, ResNet18 ({number} of 2); " in text
        assert f"madeup_resnet18_{number}_of_2_logits.svg" in text
    forest = (tmp_path / "runs/report/figures/madeup_resnet18_forest.svg").read_text()
    assert [row.label for row in group.rows if f"<!-- {row.label} -->" not in forest] == []


def test_title_of_many_heads_counts_them(tmp_path: Path) -> None:
    for number in range(6):
        write_run(tmp_path / "runs" / str(number), 70, ModuleFacts(f"Head{number}", {}))
    report(tmp_path / "runs")
    assert written(tmp_path / "runs").startswith("# 6 heads on MadeUp, ResNet18\n")


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


def test_single_runs_are_compared_as_networks_each_with_softmax(tmp_path: Path) -> None:
    for head in (SOFTMAX, AM_SOFTMAX, SBN):
        write_run(tmp_path / "runs" / head.name, 70, head)
    report(tmp_path / "runs")
    found = re.findall(r"Two trained networks, softmax \(\w+\) and (.*?) \(", written(tmp_path / "runs"))
    assert found == ["AM-Softmax, scale 7.5, margin 0.35", "SBN, scale 0.9"]


def test_gradients_of_an_epochs_smaller_last_batch_are_not_drawn(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 70, steps_per_epoch=12, last_batch=29)
    steps = range(9, 120, 10)  # 59 and 119 end an epoch
    lines = [f"1,{step},{9 if step % 12 == 11 else 1},0.5" for step in steps]
    (folder / "metrics.csv").write_text("\n".join(["epoch,step,gradient/logit_norm,gradient/share_confident", *lines]))
    (run,) = read_runs(folder)
    drawn = gradients_of(run)
    assert set(steps) - set(drawn) == {59, 119}
    assert {row["gradient/logit_norm"] for row in drawn.values()} == {1}
