"""The user's own images, listed by a CSV file: labels, splits and groups, and what is refused."""

from collections import Counter
from pathlib import Path

import pytest
from image_folders import COUNTS, content, counts, new, put_csv, ready, refused
from made_up_images import put_classes

from sbn_lightning.data.label_file import list_label_file
from sbn_lightning.data.splits import assign_splits


@pytest.mark.parametrize("given", [True, False])
def test_csv_file_gives_labels_and_splits_or_is_split_by_class(given: bool, tmp_path: Path) -> None:
    splits = [f",{name}" if given else "" for name in ["train"] * 12 + ["val"] * 4 + ["test"] * 4]
    header = "path,x,label,split" if given else "path,x,label"
    put_csv(tmp_path, header, [f"{i}.png,?,{'ab'[i % 2]}{split}" for i, split in enumerate(splits)])
    options = {} if given else {"test_fraction": 0.2, "validation_fraction": 0.25}
    data = ready(tmp_path, csv="labels.csv", **options)
    assert data.class_names == ["a", "b"]
    assert counts(data) == {"train": [6, 6], "test": [2, 2], "val": [2, 2]}
    assert len(content(data, "train", "val", "test")) == 20
    assert data.validation_stage == "val"


def test_group_never_crosses_splits(tmp_path: Path) -> None:
    lines = [f"{i}.png,{'ab'[i % 2]},patient {i % 2 + i // 6 * 2}" for i in range(36)]
    put_csv(tmp_path, "path,label,group", lines, images=36)
    data = new(tmp_path, csv="labels.csv", test_fraction=0.2, validation_fraction=0.2)
    files = assign_splits(list_label_file(tmp_path, data.csv), 0.2, 0.2)
    assert len({(file.group, file.split) for file in files}) == len({file.group for file in files}) == 12
    assert Counter((file.label, file.split) for file in files) == {
        (label, split): number for label in "ab" for split, number in (("train", 9), ("test", 6), ("val", 3))
    }


def test_changed_label_is_packed_again(tmp_path: Path) -> None:
    for other in "bc":
        put_csv(tmp_path, "path,label", [f"{i}.png,{('a' + other)[i % 2]}" for i in range(20)])
        assert ready(tmp_path, csv="labels.csv").manifest().class_names == ["a", other]


BAD_LINES = [
    ("path,class", "0.png,a", r"labels\.csv has no column label: its first line is 'path,class'"),
    ("path,label", "nowhere.png,a", r"line 4 lists nowhere\.png, but there is no such file .*\(1 of 3"),
    ("path,label", "../0.png,a", r"line 4 lists \.\./0\.png, which is outside root"),
    ("path,label", "/0.png,a", r"line 4 lists /0\.png, which is outside root"),
    ("path,label", "1.png,b", r"line 4 lists 1\.png again \(first: .*line 2\)"),
    ("path,label", "0.png,", "line 4 has no label"),
    ("path,label", ",a", "line 4 has no path"),
    ("path,label", "0.png,a,b", "line 4 has more values than there are columns"),
    ("path,label", "0.png,A", "'A' and 'a' differ only in case"),
    ("path,label,split", "0.png,a,dev", "line 4 names the split 'dev'; it must be one of train, val, test"),
    ("path,label,split", "0.png,a,", "line 4 names the split ''"),
    (
        "path,label,split,group",
        "0.png,a,test,x",
        "line 4 puts group x into test, and an earlier line puts it into train: keep",
    ),
]


@pytest.mark.parametrize(("header", "line", "match"), BAD_LINES)
def test_bad_line_of_a_csv_file_is_an_error_that_names_it(header: str, line: str, match: str, tmp_path: Path) -> None:
    rest = (",train" if "split" in header else "") + (",x" if "group" in header else "")
    put_csv(tmp_path, header, [f"1.png,a{rest}", f"2.png,b{rest}", line])
    refused(tmp_path, match, csv="labels.csv")


def test_class_of_one_group_is_an_error(tmp_path: Path) -> None:
    put_csv(tmp_path, "path,label,group", [f"{i}.png,{'ab'[i // 6]},{i // 3}" for i in range(9)])
    refused(tmp_path, r"class 'b' has too few images or groups of images .*: 1; add", csv="labels.csv")


def test_csv_file_that_is_missing_or_no_text_is_an_error(tmp_path: Path) -> None:
    put_classes(tmp_path, COUNTS)
    refused(tmp_path, r"labels\.csv is not there.*--data.csv FILE", csv="labels.csv")
    (tmp_path / "labels.csv").write_bytes(b"path,label\n\xff\xfe.png,a\n")
    refused(tmp_path, r"labels\.csv is not a CSV file in UTF-8", csv="labels.csv")
