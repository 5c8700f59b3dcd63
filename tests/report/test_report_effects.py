"""What differs between two runs leads their page; what does not comes later, with the reason where there is one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import SBN, SOFTMAX, write_run
from made_up_runs import sbn as sbn_head

from sbn_lightning.report.command import report
from sbn_lightning.report.effects import SAME, Effect
from sbn_lightning.run.facts import ModuleFacts

RECORDS = Path(__file__).parent.parent / "records"
Compared = Callable[..., tuple[str, str]]


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    """Compare two runs, and return what differs and what differs little."""

    def compare(first: Path, second: Path) -> tuple[str, str]:
        report(compare=(first, second), out=tmp_path / "out")
        text = (tmp_path / "out" / "compare.md").read_text()
        differs, _, alike = text.partition("## What differs little")
        return differs, alike.partition("**Test accuracy of the last epoch")[0]

    return compare


def test_on_the_digits_norms_and_gradients_lead_and_the_width_of_the_logits_is_explained(compared: Compared) -> None:
    runs = RECORDS / "digits/digits/SmallCNN"
    differs, alike = compared(runs / "softmax/seed0", runs / "sbn/seed0")
    assert differs.startswith("# SBN, scale 3 compared with softmax: Digits, SmallCNN\n\n## What differs\n\n")
    assert (
        "- **Class weights:** As inference uses them, those of SBN, scale 3 are 1.7 times as large as with" in differs
    )
    assert "- **Gradient at the logits:** At the end of the training with SBN" in differs
    assert "compare_weights.svg" in differs
    assert "compare_logits.svg" not in differs
    assert (
        "The reason: SBN, scale 3 makes them as wide as its scale, 3, which 10 classes need, and with softmax they "
        "become about as wide by themselves."
    ) in alike
    assert "the figures of CIFAR-100 in the README show narrow logits" in alike


def test_on_cifar100_narrow_logits_are_among_what_differs(compared: Compared) -> None:
    runs = RECORDS / "cifar100_smallcnn"
    differs, alike = compared(runs / "softmax", runs / "sbn")
    assert "- **Logits:** Those of SBN, scale 0.9 are 0.28 times as wide as with softmax" in differs
    assert "compare_logits.svg" in differs
    assert "The reason" not in differs + alike


def rewritten(folder: Path, **arrays: object) -> Path:
    """A run's folder with other arrays in test.npz."""
    with np.load(folder / "test.npz") as archive:
        np.savez(folder / "test.npz", **dict(archive) | arrays)
    return folder


@pytest.mark.parametrize(("factor", "is_visible"), [(1.0, False), (1.2, False), (1.3, True), (0.5, True)])
def test_what_leads_follows_from_the_numbers(
    tmp_path: Path, compared: Compared, factor: float, is_visible: bool
) -> None:
    first, second = (write_run(tmp_path / name, 70, ModuleFacts("Any", {}), 0) for name in "ab")
    norms = {"effective_class_weight_norm": np.full(10, 0.5 * factor, np.float32)}
    differs, alike = compared(first, rewritten(second, **norms))
    assert ("Class weights" in differs, "Class weights" in alike) == (is_visible, not is_visible)


def test_no_reason_is_given_where_no_scale_explains_the_width(tmp_path: Path, compared: Compared) -> None:
    softmax = write_run(tmp_path / "softmax", 70, SOFTMAX)
    for scale in (1.2, 5.0):  # the made-up logits have a standard deviation of 1.2
        sbn = write_run(tmp_path / f"sbn{scale}", 70, sbn_head(scale))
        assert ("The reason" in compared(softmax, sbn)[1]) == (scale == 1.2)
    arc_face = write_run(tmp_path / "arc_face", 70, ModuleFacts("ArcFaceHead", {"scale": 1.2}))  # of cosines
    assert "The reason" not in compared(softmax, arc_face)[1]
    many = (write_run(tmp_path / f"many{head.name}", 70, head, classes=100) for head in (SOFTMAX, sbn_head(1.2)))
    assert "The reason" not in compared(*many)[1]


def test_weights_of_0_and_logits_that_are_all_alike_are_compared_too(tmp_path: Path, compared: Compared) -> None:
    first, second = (write_run(tmp_path / name, 70, ModuleFacts("Any", {}), 0) for name in "ab")
    counts = np.zeros(600, np.int64)
    counts[300] = 10_000
    nothing = {"effective_class_weight_norm": np.zeros(10, np.float32), "logit_counts": counts}
    assert "Class weights" in compared(rewritten(first, **nothing), second)[0]
    assert "Class weights" in compared(first, rewritten(second, **nothing))[1]


def test_twice_and_half_as_much_differ_by_the_same() -> None:
    assert Effect("weights", 2.0, "").size == pytest.approx(Effect("weights", 0.5, "").size)
    assert not Effect("weights", 1 / SAME + 0.001, "").is_visible


def test_what_runs_did_not_record_costs_its_sentence_and_its_figure(tmp_path: Path, compared: Compared) -> None:
    first, second = (write_run(tmp_path / head.name, 70, head) for head in (SOFTMAX, SBN))
    (second / "test.npz").unlink()
    (second / "metrics.csv").unlink()
    differs, alike = compared(first, second)
    assert "**Class weights:**" not in differs + alike
    assert "**Gradient at the logits:**" not in differs + alike
    assert "Test accuracy of SBN, scale 0.9" in alike
