"""How far a prediction is, in the log of a job."""

import pytest

from sbn_lightning.deploy import progress
from sbn_lightning.deploy.progress import ImageProgress


def test_job_s_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ImageProgress("Predicting", 2000) as bar:
        bar.advance(500)
        assert capsys.readouterr().out == ""
        monkeypatch.setattr(progress, "SILENT_FOR", 0.0)
        bar.advance(1000)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Predicting  1,500 of 2,000 images, ")
    assert line.endswith(" left")
