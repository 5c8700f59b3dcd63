"""What the README promises about a new head, backbone, dataset, augmentation, measure, command and report format: each
is added as it says to a copy of the package, and used there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sbn_lightning
from sbn_lightning.run.metrics_log import read_metrics
from sbn_lightning.run.records import Results, read_results

PACKAGE = Path(sbn_lightning.__file__).parent
CONTRACTS = [str(Path(__file__).parent / name) for name in ("heads/test_heads.py", "backbones/test_contract.py")]

FILES = {
    "sbn_lightning/heads/doubled.py": """
from .settings import check_positive
from .softmax import SoftmaxHead

class DoubledHead(SoftmaxHead):
    \"\"\"A new head.

    Args:
        factor: Of the new head.
    \"\"\"

    title = "Doubled softmax"

    def __init__(self, num_features, num_classes, factor: float = 2.0):
        super().__init__(num_features, num_classes)
        check_positive(factor=factor)
        self.factor = factor

    def forward(self, features):
        return self.factor * super().forward(features)

    def as_linear(self):
        linear = super().as_linear()
        linear.weight.data *= self.factor
        linear.bias.data *= self.factor
        return linear
""",
    "sbn_lightning/backbones/plain.py": """
from sbn_lightning.backbones.small_cnn import SmallCNN

class PlainCNN(SmallCNN):
    \"\"\"A new backbone.\"\"\"
""",
    "configs/digits_doubled.yaml": """
trainer: parts/digits_trainer.yaml
optimizer: parts/digits_sgd.yaml
lr_scheduler: parts/digits_steps.yaml
model: {backbone: PlainCNN, head: DoubledHead}
data: Digits
""",
    "sbn_lightning/data/augment/invert.py": """
from typing import NamedTuple
import torch

class InvertDraws(NamedTuple):
    inverted: torch.Tensor

class Invert:
    def __str__(self):
        return "invert half"

    def draw(self, num_images, generator):
        return InvertDraws(torch.rand(num_images, generator=generator) < 0.5)

    def __call__(self, images, draws):
        return torch.where(draws.inverted[:, None, None, None], 255 - images, images)
""",
    "sbn_lightning/data/datasets/stripes.py": """
import numpy as np
from sbn_lightning.data.augment.invert import Invert
from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.pack import Contents

class Stripes(ImageDataModule):
    store_name = "stripes"

    def __init__(self, **options):
        super().__init__(**options)
        self.augmentation = Invert()

    def fingerprint(self):
        return {"version": 1}

    def decode(self, new):
        images = np.random.default_rng(0).integers(0, 256, (90, 3, 8, 8), dtype=np.uint8)
        labels = np.arange(90) % 2
        images[labels == 1, :, ::2] = 0
        new.put([str(i) for i in range(90)], images)
        return Contents(["plain", "striped"], labels, {"train": np.arange(60), "test": np.arange(60, 90)})
""",
    "sbn_lightning/run/folders.py": """
from pathlib import Path

def folders(root: Path, *, limit: int = 10) -> None:
    \"\"\"List the runs below a folder.

    Args:
        root: The folder.
        limit: The largest number of runs.
    \"\"\"
    print("runs:", *[path.parent for path in sorted(root.rglob("results.json"))][:limit])
""",
    "sbn_lightning/report/templates/report.txt.j2": """
{% for block in blocks if block.kind == "title" %}{{ block.text }}{% endfor %}
""",
}
LINES = {  # file: (the line that starts so, what is added after it)
    "sbn_lightning/run/measures.py": (
        "MEASURES = (",
        '    Measure("error_rate", "Error rate", "share", False, frozenset({"dashboard", "summary", "report"})),',
    ),
    "sbn_lightning/metrics.py": (
        "        return measured |",
        "    def error_rate(self):\n        return 1 - self.correct / self.images\n",
    ),
    "sbn_lightning/cli/commands.py": ("COMMANDS = {", '    "folders": Command("run.folders:folders", "list runs"),'),
    "sbn_lightning/report/render.py": ("ESCAPES: dict", 'ESCAPES["txt"] = str'),
}
PROGRAM = """
import contextlib
import sys
import pytest
import sbn_lightning
from sbn_lightning import DoubledHead, PlainCNN, Stripes
from sbn_lightning.cli.commands import main

assert sbn_lightning.__file__.startswith({copy!r})
small = ["--model.backbone.width=4", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
main(["fit", "--config=digits_doubled", "--data=Stripes", "--data.root=data", "--run_dir=runs/a", *small])
main(["test", "--config=runs/a"])
main(["report", "runs"])
main(["folders", "runs", "--limit", "1"])
for arguments in (["--model.head.help", "DoubledHead"], ["--model.head", "Dobledhead"]):
    with contextlib.suppress(SystemExit):
        main(["fit", *arguments])
sys.exit(pytest.main([*{tests!r}, "-k", "DoubledHead or PlainCNN", "-p", "no:cacheprovider", "-vv"]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a copy of the package with all additions has trained, tested and reported; the file `output` tells how."""
    folder = tmp_path_factory.mktemp("additions")
    copy = folder / "copy"
    shutil.copytree(PACKAGE, copy / "sbn_lightning", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE.parent / "configs", copy / "configs")
    for name, text in FILES.items():
        (copy / name).write_text(text)
    for name, (start, added) in LINES.items():
        lines = (copy / name).read_text().split("\n")
        (place,) = (number for number, line in enumerate(lines) if line.startswith(start))
        lines.insert(place + 1, added)
        (copy / name).write_text("\n".join(lines))
    program = PROGRAM.format(copy=str(copy), tests=CONTRACTS)
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=os.environ | {"PYTHONPATH": str(copy)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    (folder / "output").write_text(result.stdout)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return read_results(folder / "runs/a")


def test_a_file_makes_a_new_head_or_backbone_which_the_contract_tests_find(folder: Path, results: Results) -> None:
    output = (folder / "output").read_text()
    assert (results.model.head.name, results.model.backbone.name) == ("DoubledHead", "PlainCNN")
    assert "Doubled softmax" in (folder / "runs/report/report.md").read_text()
    assert "Head        DoubledHead(factor=2.0), " in output
    assert "Of the new head." in output
    assert "did you mean 'DoubledHead'? (known are AMSoftmaxHead, " in output
    passed = [line for line in output.splitlines() if "PASSED" in line]  # of the contract tests
    assert sum("DoubledHead" in line for line in passed) > 10
    assert sum("PlainCNN" in line for line in passed) > 1


def test_a_file_makes_a_new_dataset_and_a_file_and_a_line_an_augmentation(results: Results) -> None:
    data = results.data
    assert (data.name, data.images, data.augmentation) == ("Stripes", {"train": 60, "test": 30}, "invert half")


def test_a_row_and_a_function_show_a_new_measure_everywhere(folder: Path, results: Results) -> None:
    run, output = folder / "runs/a", (folder / "output").read_text()
    test = results.evaluations["test"]
    error = test.metrics["error_rate"]
    assert error == pytest.approx(1 - test.metrics["accuracy"])
    assert results.fit.last["test_each_epoch/error_rate"] == error
    assert any(row.get("test_each_epoch/error_rate") == error for row in read_metrics(run).values())
    assert "test_each_epoch/error_rate" in (run / "metrics.csv").read_text().splitlines()[0]
    last, tested = (line for line in output.splitlines() if "error_rate" in line)
    assert last.startswith("Last epoch")
    assert f"test_each_epoch/error_rate {error:.4f}" in last
    assert f"test/error_rate {error:.4f}" in tested
    (events,) = run.glob("events.out.tfevents.*")
    assert b"Error rate: test set or held out" in events.read_bytes()  # a chart of the dashboard
    rows = [line for line in (folder / "runs/report/report.md").read_text().splitlines() if line.startswith("|")]
    (header,) = (row for row in rows if "Error rate" in row)
    assert rows[rows.index(header) + 2].split("|")[header.split("|").index(" Error rate ")].strip()


def test_a_function_and_a_line_make_a_new_command(folder: Path) -> None:
    assert "runs: runs/a\n" in (folder / "output").read_text()


def test_a_template_and_a_line_make_a_new_report_format(folder: Path) -> None:
    assert (folder / "runs/report/report.txt").read_text().strip()
