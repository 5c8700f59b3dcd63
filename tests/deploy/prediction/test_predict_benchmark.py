"""The measurement of `sbn predict`, on few photos: that both sides do the same work."""

import csv
import os
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.benchmarks import predict


def test_plain_loop_gives_the_answers_of_sbn_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    for number in range(100):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        place = tmp_path / "few" / f"{number % 2}" / f"{number:03}.JPEG"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((64, 64)).save(place)
    compared = predict.comparison(tmp_path / "few", width=2, workers=0)
    assert len(compared.ours) == len(compared.theirs) == predict.REPETITIONS
    ours, theirs = (list(csv.reader((tmp_path / name).read_text().splitlines())) for name in ("ours.csv", "theirs.csv"))
    assert len(ours) == 101
    assert [row[:2] for row in ours[1:]] == [row[:2] for row in theirs[1:]]
    np.testing.assert_allclose(*([float(row[2]) for row in rows[1:]] for rows in (ours, theirs)), atol=2e-6)


def test_memory_is_that_of_this_process(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.JPEG")
    peak = predict.measure(str(tmp_path))
    assert peak > 0.9 * psutil.Process().memory_info().rss  # which may have grown since
