"""`python -m tests.readme`: remakes what the pages named in PAGES show of the records; a test compares.

    tests/records/digits                what `sbn reproduce --table digits` wrote; measures that came later are computed
                                        from the stored logits
    tests/records/family                what `sbn reproduce --table family` wrote; test.npz without logits
    tests/records/cifar100_smallcnn     CIFAR-100, SmallCNN, 20 epochs: softmax and SBN (0.9); test.npz without logits
    tests/records/gpu/cifar100_resnet18 CIFAR-100, ResNet-18, the paper's training on a GPU, softmax and SBN (0.9),
                                        2 seeds each; test.npz without logits
    tests/records/*.md                  the pages that the README links to: tables as `make bench`, `make soak` and
                                        `make test-oldest` print them, what a GPU did, and accuracies
    tests/records/figures               pictures that `sbn report` made of them

What stands between `<!-- records: NAME -->` and `<!-- end -->` is replaced.
"""

import re
import shutil
import statistics
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

import matplotlib

from sbn_lightning.report.command import report
from sbn_lightning.report.groups import group_runs
from sbn_lightning.report.runs import read_run, read_runs
from sbn_lightning.report.verdicts import MARGIN, Verdict, verdict_of

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RECORDS = ROOT / "tests/records"
PAGES = (README, ROOT / "sbn_lightning/heads/README.md", RECORDS / "accuracy.md")
FIGURES = {  # on the pages: of `sbn report`, without .svg
    "figure2_logits": "compare_logits",
    "figure3_class_weight_norms": "compare_weights",
    "gradients": "compare_gradients",
    "family": "digits_smallcnn_forest",
}


def make_figures(folder: Path) -> None:
    """The pictures of the pages, for light and dark backgrounds: Figures 2 and 3 and the gradients of the two runs on
    CIFAR-100, and the accuracies of all heads on the digits."""
    runs = RECORDS / "cifar100_smallcnn"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as out:
        report(compare=(runs / "softmax", runs / "sbn"), out=Path(out, "two"))
        report(RECORDS / "family", out=Path(out, "family"))
        drawn = {file.name: file for file in Path(out).glob("*/figures/*.svg")}
        for name, source in FIGURES.items():
            for ending in (".svg", "_dark.svg"):
                shutil.copyfile(drawn[source + ending], folder / (name + ending))
    (folder / "drawn_by.txt").write_text(f"matplotlib {matplotlib.__version__}\n")


def of_report(grid: str) -> tuple[str, str]:
    """What `sbn report` says first of a grid: how each head compares, and the table of accuracies."""
    with tempfile.TemporaryDirectory() as out:
        report(RECORDS / grid, out=Path(out))
        text = Path(out, "report.md").read_text(encoding="utf-8")
    verdicts = text[text.index("- **") : text.index("\n\n<picture>")]
    table = text.index("| Head |")
    return verdicts, text[table : text.index("\n**", table)].strip()


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


def family_text() -> str:
    """What all heads gave on the digits, in a sentence."""
    (group,) = group_runs(read_runs(RECORDS / "family"))
    means = [row.accuracy.mean for row in group.rows if row.accuracy]
    found = Counter(verdict_of(row.comparison.accuracy) for row in group.rows if row.comparison)
    assert set(found) == {Verdict.OPEN, Verdict.SAME}  # the sentence says nothing of better or worse ones
    return (
        f"On the digits, the mean accuracies of five seeds are {min(means):.1f} to {max(means):.1f} %. These runs "
        f"cannot tell {found[Verdict.OPEN]} heads apart from softmax; the other {found[Verdict.SAME]} differ from it "
        f"by less than {MARGIN:g} points ([table](sbn_lightning/heads/README.md#results-on-the-digits))."
    )


def sections() -> dict[str, str]:
    """{name: Markdown} of everything on the pages that is made from the records."""
    texts = {"caption": caption(), "cifar100": cifar100_text(), "family_in_short": family_text()}
    tables = {
        "digits": "\n\n".join(of_report("digits")),
        "family": of_report("family")[1],
        "cifar100_resnet18": "\n\n".join(of_report("gpu/cifar100_resnet18")),
    }
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
