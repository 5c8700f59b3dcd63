"""What the README promises about a new measure: one row and one function, made here in a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sbn_lightning
from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import read_results

PACKAGE = Path(sbn_lightning.__file__).parent

ROW = """MEASURES = (
    Measure("error_rate", "Error rate", "share", False, ("dashboard", "summary", "report")),"""
FUNCTION = """    def error_rate(self) -> Tensor:
        return 1 - self.correct / self.images

    def loss(self)"""


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_a_row_and_a_function_show_a_new_measure_everywhere(tmp_path: Path, digits_root: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(PACKAGE, copied / "sbn_lightning", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE.parent / "configs", copied / "configs")
    edit(copied / "sbn_lightning/run/measures.py", "MEASURES = (", ROW)
    edit(copied / "sbn_lightning/metrics.py", "    def loss(self)", FUNCTION)

    small = ["--model.backbone.width=4", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
    root = f"--data.root={digits_root}"
    program = f"""
from sbn_lightning.cli.commands import main
main({["fit", "--config=digits_sbn", "--run_dir=run", root, *small]})
main({["test", "--config=run", root]})
"""
    environment = os.environ | {"PYTHONPATH": str(copied)}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr

    run = tmp_path / "run"
    results = read_results(run)
    error = results.evaluations["test"].metrics["error_rate"]
    assert error == pytest.approx(1 - results.evaluations["test"].metrics["accuracy"])
    assert results.fit.last["test_each_epoch/error_rate"] == error
    assert read_metrics(run)[11]["test_each_epoch/error_rate"] == error
    assert "test_each_epoch/error_rate" in (run / "metrics.csv").read_text().splitlines()[0]
    last, tested = (line for line in result.stdout.splitlines() if "error_rate" in line)
    assert last.startswith("Last epoch")
    assert f"test_each_epoch/error_rate {error:.4f}" in last
    assert f"test/error_rate {error:.4f}" in tested
    (events,) = run.glob("events.out.tfevents.*")
    assert b"^(train|val|test_each_epoch)/error_rate$" in events.read_bytes()  # a chart of the dashboard
