"""`make test-oldest`: train, continue, use the models and report with the oldest versions that pyproject.toml allows.

Run by the Python of an environment that holds just these: `python -m tests.oldest requirements` prints what to install
into it; `python -m tests.oldest` does the rest, and prints the record for tests/records/oldest.md.
"""

import datetime
import importlib.metadata
import platform
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
HEADS = ("softmax", "sbn", "am_softmax", "pedcc", "center_loss")
"""Configs of the digits: the last one's head has a class among its settings, for jsonargparse to read."""
SHORT = ["--model.backbone.width=4", "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false"]


def oldest() -> dict[str, str]:
    """{package, with its extras: version} of each dependency's minimum."""
    section = re.search(
        r"^dependencies = \[\n(.*?)^\]", PYPROJECT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert section is not None
    return dict(re.findall(r'^\s*"([\w-]+(?:\[\w+\])?)(?:>=|~=)([\d.]+)"', section[1], re.MULTILINE))


def installed(package: str, version: str) -> str:
    """The version that is installed.

    Raises:
        SystemExit: If it is not the oldest one.
    """
    found = importlib.metadata.version(package.partition("[")[0]).partition("+")[0]
    if not (found == version or found.startswith(f"{version}.")):
        raise SystemExit(f"{package} is {found}, not {version}; remove .venv-oldest and start again")
    return found


def sbn(*arguments: str) -> None:
    """Carry out a command of `sbn`, in a process of its own."""
    subprocess.run([sys.executable, "-m", "sbn_lightning", *arguments], check=True)


def main() -> None:
    """Train, kill, continue, compare; train, test, predict, evaluate, export, report."""
    versions = {package: installed(package, version) for package, version in oldest().items()}
    with tempfile.TemporaryDirectory() as folder:
        root, run = f"--data.root={folder}/data", f"{folder}/runs/digits"
        sbn("check-resume", "--config", "digits_pedcc", root, "--model.backbone.width=4", "--steps", "20")
        for head in HEADS:
            sbn("fit", "--config", f"digits_{head}", root, f"--run_dir={run}_{head}", *SHORT)
            sbn("test", "--config", f"{run}_{head}", root)
            for command in (["predict"], ["evaluate"], ["export", "--out", f"{folder}/{head}.pt2"]):
                sbn(*command, "--config", f"{run}_{head}")
        sbn("report", f"{folder}/runs")
    listed = ", ".join(f"{package} {version}" for package, version in versions.items())
    record = (
        f"Python {platform.python_version()}, {datetime.date.today()}: training with {len(HEADS)} heads, "
        f"continuing a killed training bit for bit, test, predictions, evaluations, exports as .pt2 and reports work "
        f"with {listed}."
    )
    print("", textwrap.fill(record, 118, break_on_hyphens=False), sep="\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["requirements"]:
        print("\n".join(f"{package}=={version}" for package, version in oldest().items()))
    else:
        main()
