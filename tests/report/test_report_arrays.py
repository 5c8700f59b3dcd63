"""Which test images each run has right: only from predictions that belong to the runs' records."""

import shutil
from pathlib import Path

import pytest
from made_up_runs import SBN, SOFTMAX, write_run

from sbn_lightning.report.arrays import correct_of
from sbn_lightning.report.runs import read_runs
from sbn_lightning.run.records import BrokenRecordError


def test_predictions_of_another_test_are_refused(runs: Path) -> None:
    shutil.copy(runs / "softmax2" / "test.npz", runs / "sbn0" / "test.npz")
    with pytest.raises(
        BrokenRecordError, match=r"sbn0/test.npz has 720 of 1,000 images right, and the record .* 710 of"
    ):
        correct_of(read_runs(runs / "sbn0"))


def test_images_with_the_same_labels_are_not_taken_for_the_same_images(tmp_path: Path) -> None:
    ours, theirs = (
        read_runs(write_run(tmp_path / head.name, 70, head, fingerprint=fingerprint))
        for head, fingerprint in ((SOFTMAX, "some images"), (SBN, "other images"))
    )
    with pytest.raises(BrokenRecordError, match="tested on different images"):
        correct_of(ours, theirs)


def test_runs_of_older_versions_do_not_say_which_images_they_saw(tmp_path: Path) -> None:
    ours, theirs = (
        read_runs(write_run(tmp_path / head.name, 70, head, fingerprint=fingerprint))
        for head, fingerprint in ((SOFTMAX, "some images"), (SBN, None))
    )
    assert [correct.sum() for correct in correct_of(ours, theirs)] == [700, 700]


def test_missing_predictions_are_named_with_their_folder(runs: Path) -> None:
    (runs / "sbn0" / "test.npz").unlink()
    with pytest.raises(BrokenRecordError, match=f"{runs}/sbn0 has no test.npz"):  # a grid has many folders named seed0
        correct_of(read_runs(runs / "sbn0"))
