"""`python -m tests.readme`: remakes what README.md and tests/records/accuracy.md show of the records; a test compares.

    tests/records/digits                what `sbn reproduce --table digits` wrote; measures that came later are computed
                                        from the stored logits
    tests/records/cifar100_smallcnn     CIFAR-100, SmallCNN, 20 epochs: softmax and SBN (0.9); test.npz without logits
    tests/records/gpu/cifar100_resnet18 CIFAR-100, ResNet-18, the paper's training on a GPU, softmax and SBN (0.9),
                                        2 seeds each; test.npz without logits
    tests/records/*.md                  the pages that the README links to: tables as `make bench`, `make soak` and
                                        `make test-oldest` print them, what a GPU did, and accuracies
    tests/records/figures               pictures that `sbn report` made of them

In both pages, what stands between `<!-- records: NAME -->` and `<!-- end -->` is replaced.
"""

import re
import shutil
import statistics
import tempfile
import textwrap
from pathlib import Path

import matplotlib

from sbn_lightning.report.command import report
from sbn_lightning.report.runs import read_run

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RECORDS = ROOT / "tests/records"
PAGES = (README, RECORDS / "accuracy.md")
FIGURES = {  # on the pages: of `sbn report`
    "figure2_logits.svg": "compare_logits.svg",
    "figure3_class_weight_norms.svg": "compare_weights.svg",
    "gradients.svg": "compare_gradients.svg",
}


def make_figures(folder: Path) -> None:
    """Figures 2 and 3 and the gradients of the two runs on CIFAR-100, for light and dark backgrounds."""
    runs = RECORDS / "cifar100_smallcnn"
    with tempfile.TemporaryDirectory() as out:
        report(compare=(runs / "softmax", runs / "sbn"), out=Path(out))
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in FIGURES.items():
            for dark in ("", "_dark"):
                drawn = Path(out, "figures", source.replace(".svg", f"{dark}.svg"))
                shutil.copyfile(drawn, folder / name.replace(".svg", f"{dark}.svg"))
    (folder / "drawn_by.txt").write_text(f"matplotlib {matplotlib.__version__}\n")


def accuracies(grid: str) -> str:
    """What `sbn report` says first of a grid: how each head compares, and the table of accuracies."""
    with tempfile.TemporaryDirectory() as out:
        report(RECORDS / grid, out=Path(out))
        text = Path(out, "report.md").read_text(encoding="utf-8")
    verdicts = text[text.index("- **") : text.index("\n\n<picture>")]
    table = text.index("| Head |")
    return f"{verdicts}\n\n" + text[table : text.index("\n**", table)].strip()


def mean_accuracy(runs: str) -> float:
    """In percent, over the runs in a folder of the records."""
    folders = sorted(file.parent for file in (RECORDS / runs).rglob("results.json"))
    return statistics.mean(read_run(folder, folder.name).accuracy for folder in folders)


def caption() -> str:
    """What the README's picture shows."""
    softmax, sbn = (mean_accuracy(f"cifar100_smallcnn/{head}") for head in ("softmax", "sbn"))
    return (
        "What you see: the logits of CIFAR-100's test images, that is, a network's outputs before softmax. Scaled "
        "batch normalization (orange) keeps them in a narrower range than softmax (blue), so that images that are "
        "already classified well still have a gradient. The two networks are right for "
        f"{sbn:.1f} % and {softmax:.1f} % of the images; one run of each cannot tell which head is better."
    )


def cifar100_text() -> str:
    """What the paper's training gave."""
    softmax, sbn = (mean_accuracy(f"gpu/cifar100_resnet18/cifar100/ResNet18/{head}") for head in ("softmax", "sbn-0.9"))
    return (
        f"Two seeds of ResNet-18 on CIFAR-100 gave {softmax:.1f} % with softmax and {sbn:.1f} % with scaled batch "
        "normalization (the paper: 75.1 % and 76.1 %), [too few to tell the heads apart](tests/records/accuracy.md). "
        "No whole table of the paper is reproduced here, and no number for Tiny ImageNet and FaceScrub is claimed."
    )


def sections() -> dict[str, str]:
    """{name: Markdown} of everything on the pages that is made from the records."""
    texts = {"caption": caption(), "cifar100": cifar100_text()}
    tables = {"digits": accuracies("digits"), "cifar100_resnet18": accuracies("gpu/cifar100_resnet18")}
    return {name: textwrap.fill(text, 120, break_on_hyphens=False) for name, text in texts.items()} | tables


def with_records(page: str, made: dict[str, str]) -> str:
    """A page with its sections made again from the records."""

    def section(match: re.Match[str]) -> str:
        return f"<!-- records: {match[1]} -->\n{made[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- records: (\w+) -->\n.*?<!-- end -->", section, page, flags=re.DOTALL)


if __name__ == "__main__":
    make_figures(RECORDS / "figures")
    made = sections()
    for page in PAGES:
        page.write_text(with_records(page.read_text(encoding="utf-8"), made), encoding="utf-8")
