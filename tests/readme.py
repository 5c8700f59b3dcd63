"""`python -m tests.readme`: remakes what the README shows of the records in tests/records; a test compares them.

    tests/records/digits                what `sbn reproduce --table digits` wrote; measures that came later are computed
                                        from the stored logits
    tests/records/cifar100_smallcnn     CIFAR-100, SmallCNN, 20 epochs: softmax and SBN (0.9); test.npz without logits
    tests/records/gpu/cifar100_resnet18 CIFAR-100, ResNet-18, the paper's training on a GPU, softmax and SBN (0.9),
                                        2 seeds each; test.npz without logits
    tests/records/*.md                  tables as `make bench` and `make soak` print them, and what a GPU did
    tests/records/figures               pictures that `sbn report` made of them

In the README, what stands between `<!-- records: NAME -->` and `<!-- end -->` is replaced.
"""

import re
import shutil
import tempfile
from pathlib import Path

import matplotlib

from sbn_lightning.report.command import report
from sbn_lightning.report.runs import read_run

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RECORDS = ROOT / "tests/records"
FIGURES = {  # in the README: of `sbn report`
    "figure2_logits.svg": "compare_logits.svg",
    "figure3_class_weight_norms.svg": "compare_weights.svg",
    "gradients.svg": "compare_gradients.svg",
    "training.svg": "compare_training.svg",
}


def make_figures(folder: Path) -> None:
    """Figures 2 and 3, training and gradient curves of the two runs on CIFAR-100."""
    runs = RECORDS / "cifar100_smallcnn"
    with tempfile.TemporaryDirectory() as out:
        report(compare=(runs / "softmax", runs / "sbn"), out=Path(out))
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in FIGURES.items():
            for dark in ("", "_dark"):
                drawn = Path(out, "figures", source.replace(".svg", f"{dark}.svg"))
                shutil.copyfile(drawn, folder / name.replace(".svg", f"{dark}.svg"))
    (folder / "drawn_by.txt").write_text(f"matplotlib {matplotlib.__version__}\n")


def accuracy_table(grid: str) -> str:
    """The accuracies of a grid as `sbn report` gives them, and what follows from them."""
    with tempfile.TemporaryDirectory() as out:
        report(RECORDS / grid, out=Path(out))
        text = Path(out, "report.md").read_text(encoding="utf-8")
    begin = text.index("| Head | Tuned on |")
    return text[begin : text.index("\n**", begin)].strip()


def cifar100_text() -> str:
    """What the figures are of."""
    softmax, sbn = (read_run(RECORDS / "cifar100_smallcnn" / head / "seed0", "seed0") for head in ("softmax", "sbn"))
    return (
        "Figures 2 and 3 of the paper, made by `sbn report` from two trainings on CIFAR-100 (SmallCNN, "
        f"{sbn.training.epochs} epochs, one seed: test accuracy {softmax.accuracy:.1f} % with "
        f"softmax,\n{sbn.accuracy:.1f} % with scaled batch normalization; one run of each cannot tell them apart)."
    )


def sections() -> dict[str, str]:
    """{name: Markdown} of everything in the README that comes from the records."""
    tables = {file.stem: file.read_text(encoding="utf-8").strip() for file in sorted(RECORDS.glob("*.md"))}
    grids = {"digits": "digits", "cifar100_resnet18": "gpu/cifar100_resnet18"}
    return tables | {"cifar100": cifar100_text()} | {name: accuracy_table(grid) for name, grid in grids.items()}


def with_records(readme: str) -> str:
    """The README with its sections made again from the records."""
    made = sections()

    def section(match: re.Match[str]) -> str:
        return f"<!-- records: {match[1]} -->\n{made[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- records: (\w+) -->\n.*?<!-- end -->", section, readme, flags=re.DOTALL)


if __name__ == "__main__":
    make_figures(RECORDS / "figures")
    README.write_text(with_records(README.read_text(encoding="utf-8")), encoding="utf-8")
