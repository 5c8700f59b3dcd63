"""Which runs belong to one row, and which rows may be compared."""

from pathlib import Path

import pytest
from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, planned, results, sbn, write_grid, write_run

from sbn_lightning.report.content import warnings_of
from sbn_lightning.report.groups import Group, group_runs
from sbn_lightning.report.names import file_names
from sbn_lightning.report.runs import read_runs
from sbn_lightning.report.tables import accuracy_table
from sbn_lightning.run.facts import HardwareFacts, ModuleFacts
from sbn_lightning.run.files import RUN
from sbn_lightning.run.grid_records import Protocol, Published
from sbn_lightning.run.records import Attempts, write_record


def groups(root: Path) -> list[Group]:
    return group_runs(read_runs(root))


def labels(root: Path) -> list[str]:
    (group,) = groups(root)
    return [row.label for row in group.rows]


def test_rows_are_heads_with_their_settings_and_softmax_comes_first(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / f"am{seed}", 70, AM_SOFTMAX, seed)
        write_run(tmp_path / f"sbn{seed}", 71, SBN, seed)
        write_run(tmp_path / f"softmax{seed}", 69, SOFTMAX, seed)
    (group,) = groups(tmp_path)
    assert group.title == "MadeUp, ResNet18"
    assert [row.label for row in group.rows] == ["softmax", "AM-Softmax, scale 7.5, margin 0.35", "SBN, scale 0.9"]
    assert [row.accuracies for row in group.rows] == [{0: 69.0, 1: 69.0}, {0: 70.0, 1: 70.0}, {0: 71.0, 1: 71.0}]


def test_tables_are_images_and_backbones_and_differ_in_name(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 70)
    write_run(tmp_path / "b", 70, backbone="ResNet50")
    write_run(tmp_path / "c", 70, dataset="Other", fingerprint="ab")
    write_run(tmp_path / "d", 70, dataset="Other", fingerprint="cd")
    write_run(tmp_path / "e", 70, classes=20)
    write_run(tmp_path / "f", 70, shape=[3, 64, 64])
    assert [group.title for group in groups(tmp_path)] == [
        *("MadeUp (10 classes, 3×32×32), ResNet18", "MadeUp, ResNet50"),
        *("Other (data ab), ResNet18", "Other (data cd), ResNet18"),
        *("MadeUp (20 classes, 3×32×32), ResNet18", "MadeUp (10 classes, 3×64×64), ResNet18"),
    ]


def test_data_that_the_grid_names_otherwise_are_tables_of_their_own(tmp_path: Path) -> None:
    names = ("birds", "cats")
    write_grid(tmp_path, [planned(name, SOFTMAX, "softmax", 0, dataset=name) for name in names])
    for name in names:
        write_run(tmp_path / name, 70, SOFTMAX, dataset="ImageFolder")
    assert [group.title for group in groups(tmp_path)] == ["birds, ResNet18", "cats, ResNet18"]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("epochs", ([60.0, 70.0], [60.0, 65.0, 71.0]), ["softmax; 2 epochs", "softmax; 3 epochs"]),
        ("precision", ("32-true", "bf16-mixed"), ["softmax; precision 32-true", "softmax; precision bf16-mixed"]),
        ("augmentation", ("crop 4", "none"), ["softmax; augmentation crop 4", "softmax; augmentation none"]),
        ("augmentation", (None, "flip"), ["softmax", "softmax; augmentation flip"]),  # a record of the first layout
    ],
)
def test_runs_of_different_training_are_not_averaged(
    tmp_path: Path, name: str, values: tuple[object, object], expected: list[str]
) -> None:
    for number, value in enumerate(values):
        write_run(tmp_path / str(number), 70 + number, SOFTMAX, **({name: value} if value else {}))
    (group,) = groups(tmp_path)
    assert [row.label for row in group.rows] == expected
    assert [row.accuracies for row in group.rows] == [{0: 70.0}, {0: 71.0}]


def test_rows_of_different_training_are_named_by_what_differs_in_few_words(tmp_path: Path) -> None:
    for number, (rate, epochs) in enumerate([(0.1, [70.0] * 12), (1000000000.0, [70.0] * 30)]):
        optimizer = [f"SGD(lr={rate}, momentum=0.9, weight_decay=0.0005)"]
        schedule = [f"learning rate ×0.1 after epochs {10 * (number + 1)}"]
        write_run(tmp_path / str(number), 70, epochs=epochs, optimizer=optimizer, schedule=schedule)
    assert labels(tmp_path) == [
        "SBN, scale 0.9; 12 epochs, lr 0.1, lr ×0.1 after epochs 10",
        "SBN, scale 0.9; 30 epochs, lr 1e+09, lr ×0.1 after epochs 20",
    ]
    (group,) = groups(tmp_path)
    notes = accuracy_table(group).notes
    assert "All trained with ResNet18; 5,000 training images; batch 128; precision 32-true." in notes
    assert any(note.startswith(f"{labels(tmp_path)[1]}: 30 epochs; SGD(lr=1000000000.0, momentum") for note in notes)


def test_rows_that_only_the_grid_distinguishes_have_its_labels(tmp_path: Path) -> None:
    write_grid(tmp_path, [planned(name, SOFTMAX, name, 0) for name in ("plain", "mixup")])
    for name in ("plain", "mixup"):
        write_run(tmp_path / name, 70, SOFTMAX, epochs=[60.0, 70.0])
    assert labels(tmp_path) == ["softmax; plain", "softmax; mixup"]
    write_run(tmp_path / "long", 70, SOFTMAX)
    assert labels(tmp_path) == ["softmax; 2 epochs; plain", "softmax; 2 epochs; mixup", "softmax; 3 epochs"]


def test_one_epoch_is_written_in_the_singular(tmp_path: Path) -> None:
    write_run(tmp_path / "short", 70, SOFTMAX, epochs=[70.0])
    write_run(tmp_path / "long", 70, SOFTMAX)
    assert sorted(labels(tmp_path)) == ["softmax; 1 epoch", "softmax; 3 epochs"]


def test_figures_of_titles_that_read_alike_have_other_file_names() -> None:
    assert file_names(["A-B, Net", "a b, net", "猫", "犬"]) == ["a_b_net", "a_b_net_2", "table", "table_2"]


def test_a_head_meets_the_softmax_that_was_trained_alike(tmp_path: Path) -> None:
    for epochs in ([60.0, 70.0], [60.0, 65.0, 71.0]):
        write_run(tmp_path / f"softmax{len(epochs)}", epochs[-1], SOFTMAX, epochs=epochs)
        write_run(tmp_path / f"sbn{len(epochs)}", 75, epochs=[*epochs[:-1], 75.0])
    write_run(tmp_path / "am", 75, AM_SOFTMAX, epochs=[75.0])
    (group,) = groups(tmp_path)
    met = {row.label: row.comparison.softmax.label if row.comparison else row.not_compared for row in group.rows[2:]}
    assert met == {
        "AM-Softmax, scale 7.5, margin 0.35": "no softmax was trained in the same way",
        "SBN, scale 0.9; 2 epochs": "softmax; 2 epochs",
        "SBN, scale 0.9; 3 epochs": "softmax; 3 epochs",
    }


def test_the_same_seed_again_is_no_further_run(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 70, seed=1)
    write_run(tmp_path / "b", 72, seed=1)
    (group,) = groups(tmp_path)
    assert group.rows[0].accuracies == {1: 70.0}
    assert "runs that repeat a seed are not counted: b" in warnings_of(group)[0]


@pytest.mark.parametrize(
    ("scales", "grid", "declared", "why"),
    [
        ([0.8, 0.9, 1.0], None, [], ""),
        ([0.8, 0.9, 1.0], "all", [], ""),
        ([0.8], None, [0.8], "Compared as the only row of its head, though no grid declared it: SBN, scale 0.8."),
        ([0.8, 1.0], None, [], ""),
        ([0.8, 0.9, 1.0], 1.0, [1.0], "Declared by the grid: SBN, scale 1."),
        ([0.8, 0.9], 3.0, [], ""),  # the grid was asked, and declares neither
    ],
)
def test_one_scale_is_declared_and_no_other_is_set_against_softmax(
    tmp_path: Path, scales: list[float], grid: float | str | None, declared: list[float], why: str
) -> None:
    if grid is not None:
        entries = [planned(f"sbn{s}", sbn(s), f"SBN ({s})", 0, declared=grid in (s, "all")) for s in scales]
        write_grid(tmp_path, entries)
    for scale in scales:
        write_run(tmp_path / f"sbn{scale}", 70, sbn(scale))
    write_run(tmp_path / "softmax", 70, SOFTMAX)
    (group,) = groups(tmp_path)
    softmax, *rows = group.rows
    assert [row.head.settings["scale"] for row in rows if row.declared] == declared
    assert [row.comparison is not None for row in rows] == [row.declared for row in rows]
    assert {row.not_compared for row in rows if not row.declared} <= {"not the declared one"}
    assert (softmax.not_compared, softmax.comparison) == ("is softmax", None)
    notes = [note for note in accuracy_table(group).notes if note.startswith(("Declared", "Compared"))]
    assert notes == ([why] if why else [])


def test_a_head_that_the_grid_does_not_declare_is_not_compared(tmp_path: Path) -> None:
    write_grid(tmp_path, [planned("am", AM_SOFTMAX, "am", 0, declared=False)])
    write_run(tmp_path / "am", 70, AM_SOFTMAX)
    write_run(tmp_path / "softmax", 70, SOFTMAX)
    (group,) = groups(tmp_path)
    assert [row.not_compared for row in group.rows] == ["is softmax", "not the declared one"]


def test_grid_gives_the_papers_values_and_a_home_to_runs_without_a_record(tmp_path: Path) -> None:
    paper = Published(76.1, 0.12, 3)
    write_grid(tmp_path, [planned(f"sbn{seed}", SBN, "ours", seed, paper=paper, declared=True) for seed in range(3)])
    write_run(tmp_path / "sbn0", 70, seed=0)
    write_record(tmp_path / "sbn1" / RUN, Attempts(1, error="no memory"))
    (group,) = groups(tmp_path)
    (row,) = group.rows
    assert (row.label, row.tuned_on, row.published and row.published.mean) == ("SBN, scale 0.9", "paper", 76.1)
    assert (len(row.finished), row.started, len(row.runs)) == (1, 2, 3)
    assert row.not_compared == "no finished softmax run"


@pytest.mark.parametrize(
    ("name", "what", "values"),
    [
        ("commit", "commits", ("abc", "def")),
        ("versions", "package versions", ({"torch": "2.14"}, {"torch": "2.15"})),
        ("hardware", "hardware", (HardwareFacts("cuda", "H200"), HardwareFacts("cuda", "A100"))),
    ],
)
def test_what_runs_of_a_row_or_a_row_and_its_softmax_do_not_share_is_warned_of(
    tmp_path: Path, name: str, what: str, values: tuple[object, object]
) -> None:
    one, other = values
    for head, of_seeds in ((SOFTMAX, (one, one)), (SBN, (other, other)), (AM_SOFTMAX, (one, other))):
        for seed, value in enumerate(of_seeds):
            write_run(tmp_path / f"{head.name}{seed}", 70 + seed, head, seed, **{name: value})
    (group,) = groups(tmp_path)
    details, am = " (abc, def)" if name == "commit" else "", "AM-Softmax, scale 7.5, margin 0.35"
    assert warnings_of(group) == [
        f"{am}: runs of different {what} are averaged{details}.",
        f"{am}; SBN, scale 0.9: compared with softmax of different {what}.",
    ]
    assert [row.comparison.unlike for row in group.rows if row.comparison] == [[what], [what]]


def test_the_only_softmax_is_met_with_a_warning_where_it_was_trained_otherwise(tmp_path: Path) -> None:
    write_run(tmp_path / "softmax", 70, SOFTMAX, optimizer=["SGD(lr=0.5)"])
    write_run(tmp_path / "sbn", 71)
    (group,) = groups(tmp_path)
    assert group.rows[1].comparison is not None
    assert group.rows[1].comparison.unlike == ["training"]
    assert warnings_of(group)[0].startswith("SBN, scale 0.9 was not trained as softmax was: ResNet18; 5,000")


def test_the_papers_result_is_compared_only_with_runs_trained_like_it(tmp_path: Path) -> None:
    training = results(70).training
    paper = Published(76.1, 0.12, 3, Protocol(3, 128, training.optimizer, training.schedule))
    write_grid(tmp_path, [planned(name, SBN, name, 0, paper=paper) for name in ("alike", "shorter")])
    write_run(tmp_path / "alike", 70)
    write_run(tmp_path / "shorter", 70, epochs=[60.0, 70.0])
    (group,) = groups(tmp_path)
    found = [(row.published and row.published.mean, row.tuned_on) for row in group.rows]
    assert found == [(76.1, "paper"), (None, "paper, in another training")]


def test_a_new_head_needs_no_change_here(tmp_path: Path) -> None:
    for alpha in (1.0, 2.0):
        head = ModuleFacts("BrandNewHead", {"scale": 4.0, "alpha": alpha, "eps": 0.1}, title="Brand New")
        write_run(tmp_path / str(alpha), 70, head)
    assert labels(tmp_path) == ["Brand New, scale 4, alpha 1", "Brand New, scale 4, alpha 2"]
