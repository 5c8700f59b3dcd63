"""A run that commit 1d7cd34 started, and that was killed, ends as that commit would have ended it."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sbn_lightning.run.records import read_results

EARLIER = Path(__file__).parent.parent / "fixtures/run_of_1d7cd34"
ENDED = EARLIER / "ended"


def stored(run: Path) -> tuple[dict[str, Any], Any, Any]:
    """Weights and buffers without those of the normalization, which the data module did then; what the optimizer has
    accumulated, and the state of torch's random numbers."""
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    momentum = checkpoint["optimizer_states"][0]["state"]
    weights = {name: value for name, value in checkpoint["state_dict"].items() if not name.startswith("normalization.")}
    return weights, momentum, checkpoint["processes"][0]["random"]["torch"]


def table(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.filterwarnings("ignore:The number of training batches")  # which that run had, too
def test_it_is_continued_tested_and_reported(
    sbn: Callable[..., None], digits_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path("runs/earlier")
    shutil.copytree(EARLIER, run, ignore=shutil.ignore_patterns("ended"))
    options = ["--config", run, "--data.root", digits_root]
    sbn("fit", *options, "--ckpt_path", "last")
    assert "last.ckpt, after step 10\n" in capsys.readouterr().out
    sbn("test", *options, "--trainer.enable_progress_bar", False)

    ours, theirs = read_results(run), read_results(ENDED)
    is_same_machine = (ours.hardware, ours.versions["torch"]) == (theirs.hardware, theirs.versions["torch"])
    tolerance = 0.0 if is_same_machine else 1e-4  # other processors and versions of torch add up in another order

    torch.testing.assert_close(stored(run)[:2], stored(ENDED)[:2], rtol=tolerance, atol=tolerance)
    assert torch.equal(stored(run)[2], stored(ENDED)[2])
    for row, expected in zip(table(run), table(ENDED), strict=True):
        for tag, value in expected.items():
            assert (row[tag] == "") == (value == "")
            if row["epoch"] == "2" and tag.startswith("train/") and not tag.startswith("train/batch_"):
                continue  # metrics of that version are not continued: these are of the epoch's last steps only
            assert value == "" or float(row[tag]) == pytest.approx(
                float(value), rel=max(tolerance, 1e-6), abs=tolerance
            ), tag

    assert (ours.test.correct, ours.test.images) == (theirs.test.correct, theirs.test.images)
    logits, expected_logits = (np.load(folder / "test.npz")["logits"] for folder in (run, ENDED))
    stored_then = logits.astype(expected_logits.dtype)  # float16
    np.testing.assert_allclose(stored_then, expected_logits, rtol=20 * tolerance, atol=20 * tolerance)

    sbn("report", "runs")
    assert "13.6" in Path("runs/report/report.md").read_text()  # its accuracy in per cent
