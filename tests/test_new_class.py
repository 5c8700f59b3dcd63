"""What the README promises about a new head, backbone or dataset: one file, made here in a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import sbn_lightning

PACKAGE = Path(sbn_lightning.__file__).parent
TESTS = Path(__file__).parent

FILES = {
    "heads/plain.py": """
from .softmax import SoftmaxHead

class PlainHead(SoftmaxHead):
    \"\"\"A new head.

    Args:
        num_features: D.
        num_classes: C.
        tone: Of the new head.
    \"\"\"

    def __init__(self, num_features: int, num_classes: int, tone: float = 1.0) -> None:
        super().__init__(num_features, num_classes)
        self.tone = tone
""",
    "backbones/plain.py": """
from sbn_lightning.backbones.small_cnn import SmallCNN

class PlainCNN(SmallCNN):
    \"\"\"A new backbone.\"\"\"
""",
    "data/datasets/plain.py": """
from sbn_lightning.data.datasets.digits import Digits

class PlainDigits(Digits):
    \"\"\"A new dataset.\"\"\"
""",
}
CONFIG = """
trainer: {max_epochs: 1, limit_train_batches: 1, enable_progress_bar: false}
optimizer: SGD
model:
  backbone: {class_path: PlainCNN, init_args: {width: 4}}
  head: {class_path: PlainHead, init_args: {tone: 2.0}}
data: PlainDigits
"""
PROGRAM = """
import contextlib
import pytest
from sbn_lightning import PlainCNN, PlainDigits, PlainHead
from sbn_lightning.cli.commands import main

main(["fit", "--config", "plain", "--data.root", ROOT, "--run_dir", "run"])
for arguments in (["--model.head.help", "PlainHead"], ["--model.head", "Plan"]):
    with contextlib.suppress(SystemExit):
        main(["fit", *arguments])
pytest.main(["--collect-only", "-p", "no:cacheprovider", *CONTRACTS])
"""
CONTRACTS = [f"{TESTS}/heads/test_heads.py", f"{TESTS}/backbones/test_contract.py"]


def test_classes_of_new_files_are_found_by_their_names(tmp_path: Path, digits_root: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(PACKAGE, copied / "sbn_lightning", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE.parent / "configs", copied / "configs")
    for name, text in FILES.items():
        (copied / "sbn_lightning" / name).write_text(text)
    (copied / "configs/plain.yaml").write_text(CONFIG)
    result = subprocess.run(
        [sys.executable, "-c", f"ROOT = {str(digits_root)!r}\nCONTRACTS = {CONTRACTS}\n{PROGRAM}"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(copied)}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    config = (tmp_path / "run/config.yaml").read_text()
    assert all(f"sbn_lightning.{name}" in config for name in ("PlainHead", "PlainCNN", "PlainDigits"))
    assert "Of the new head." in result.stdout
    assert "PlainHead, ScaledBatchNormHead" in result.stderr
    assert "[PlainHead]" in result.stdout
    assert "[PlainCNN]" in result.stdout
