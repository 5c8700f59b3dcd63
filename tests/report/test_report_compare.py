"""`sbn report --compare`: any two runs, or folders of them, side by side."""

from pathlib import Path

import pytest
from made_up_runs import write_run

from sbn_lightning.report.command import report


@pytest.mark.parametrize("folders", [("softmax1", "sbn1"), ("softmax", "sbn")])
def test_any_two_runs_or_folders_of_runs_are_compared(runs: Path, tmp_path: Path, folders: tuple[str, str]) -> None:
    for head in ("softmax", "sbn"):
        (tmp_path / head).mkdir()
        for seed in range(3):
            (runs / f"{head}{seed}").rename(tmp_path / head / f"{head}{seed}")
    first, second = (tmp_path / folder[:-1] / folder if folder[-1] == "1" else tmp_path / folder for folder in folders)
    report(compare=(first, second), out=tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text()
    assert text.startswith("# SBN, scale 0.9 compared with softmax: MadeUp, ResNet18\n")
    single = "cannot be told apart from softmax: +1.00 points, without an interval (a single run has no spread)."
    several = (
        "these runs cannot tell it apart from softmax: +1.00 points, but any true difference from −1.27 to +3.27 fits "
        "them (95 % interval)."
    )
    expected = single if folders[0] == "softmax1" else several
    assert f"- **Test accuracy of SBN, scale 0.9:** {expected}" in text
    assert ("McNemar's exact test" in text) == (folders[0] == "softmax1")  # an interval over seeds says more
    found = "Detectable: as many runs with this spread find a true difference of"
    assert (found in text) == (folders[0] == "softmax")
    scope = "The 95 % intervals are over seeds: about other runs of the same training, on this test set"
    assert (scope in text) == (folders[0] == "softmax")
    latex, percent = (tmp_path / "out" / "compare.tex").read_text(), r"\%"
    assert expected.replace("%", percent).replace("−", "$-$") in latex
    assert (tmp_path / "out" / "compare.html").read_text().count("<svg") == (4 if folders[0] == "softmax1" else 5)


@pytest.mark.parametrize(
    ("facts", "caution"),
    [
        ({"classes": 7}, "They differ in data or backbone: the difference is not the heads' alone."),
        ({"classes": 7}, "Norms of the weights of the first 7 classes"),
        ({"classes": 7}, "McNemar's test of SBN, scale 0.9 (sbn0) (sbn0) and"),
        ({"fingerprint": "other images"}, "They differ in data or backbone"),
        ({"shape": [3, 64, 64]}, "They differ in data or backbone"),
        ({"precision": "bf16-mixed"}, "They were trained differently"),
    ],
)
def test_runs_that_differ_in_more_than_the_head_are_compared_with_a_warning(
    runs: Path, tmp_path: Path, facts: dict[str, object], caution: str
) -> None:
    write_run(tmp_path / "other", 75, **facts)
    report(compare=(runs / "sbn0", tmp_path / "other"), out=tmp_path / "out")
    assert caution in (tmp_path / "out" / "compare.md").read_text()


def test_softmax_is_what_others_are_compared_with_whatever_the_order(runs: Path, tmp_path: Path) -> None:
    pages = []
    for compare in ((runs / "softmax0", runs / "sbn0"), (runs / "sbn0", runs / "softmax0")):
        report(compare=compare, out=tmp_path / "out")
        pages.append((tmp_path / "out" / "compare.md").read_text().partition("This page is made by")[0])
    assert pages[0] == pages[1]
    assert pages[0].startswith("# SBN, scale 0.9 compared with softmax: ")


def test_two_runs_of_the_same_head_are_told_apart_by_their_folders(runs: Path, tmp_path: Path) -> None:
    report(compare=(runs / "sbn0", runs / "sbn1"), out=tmp_path / "out")
    title = "# SBN, scale 0.9 (sbn1) compared with SBN, scale 0.9 (sbn0): "
    assert (tmp_path / "out" / "compare.md").read_text().startswith(title)


def test_two_folders_of_the_same_name_are_told_apart(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    write_run(tmp_path / "again/sbn0", 75)
    report(compare=(runs / "sbn0", tmp_path / "again/sbn0"), out=tmp_path / "out")
    assert (
        "SBN, scale 0.9 (second) compared with SBN, scale 0.9 (first)" in (tmp_path / "out" / "compare.md").read_text()
    )
