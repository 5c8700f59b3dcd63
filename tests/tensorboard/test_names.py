"""Under which names things are shown, and in which order."""

import re

from sbn_lightning.tensorboard import layout_as_shown, shown
from sbn_lightning.tensorboard.names import TABLE


def in_tensorboards_order(names: list[str]) -> list[str]:
    """Sorted by the number that each name begins with."""
    return sorted(names, key=lambda name: (int(name.split()[0]), name))


def test_accuracy_and_loss_come_first_with_the_stages_of_a_measure_as_neighbors() -> None:
    names = in_tensorboards_order([row.name for row in TABLE.values()])
    stages = ["test_each_epoch", "train", "val"]
    assert names[:6] == [f"{group}/{stage}" for group in ("1 Accuracy", "2 Loss") for stage in stages]


def test_no_two_tags_have_one_name_and_every_one_is_described() -> None:
    rows = [*TABLE.values(), shown("lr-SGD"), shown("lr-SGD/pg1")]
    assert len({row.name for row in rows}) == len(rows)
    assert all(re.fullmatch(r"\d+ [^/]+/.+", row.name) and row.title and row.description[-1] == "." for row in rows)


def test_what_is_not_in_the_table_is_shown_as_it_is() -> None:
    assert shown("my/metric") is None
    layout = {"Mine": {"Speed": ("Multiline", ["^speed$"]), "Range": ("Margin", ["a", "b", "c"])}}
    assert layout_as_shown(layout) == layout


def test_layout_has_the_names_in_place_of_the_tags() -> None:
    charts = {
        "Accuracy": ("Multiline", ["^(train|val)/accuracy$"]),
        "Rates": ("Multiline", ["^lr-"]),
        "Logits": ("Margin", ["logits/all_p50", "logits/all_p05", "logits/all_p95"]),
    }
    (shown_charts,) = layout_as_shown({"": charts}).values()
    for title, names in {
        "Accuracy": {"1 Accuracy/train", "1 Accuracy/val"},
        "Rates": {"11 Learning rate/SGD"},
    }.items():
        known = [row.name for row in TABLE.values()] + ["11 Learning rate/SGD"]
        _, patterns = shown_charts[title]
        assert {name for name in known if any(re.match(pattern, name) for pattern in patterns)} == names
    assert shown_charts["Logits"] == ("Margin", ["8 Logits/all, 50 %", "8 Logits/all, 5 %", "8 Logits/all, 95 %"])
