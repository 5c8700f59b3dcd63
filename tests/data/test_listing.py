"""Which files of a folder are read as which class and split, and what is said of the others."""

import os
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from made_up_images import put_classes, put_image

from sbn_lightning.data.folders import files_below
from sbn_lightning.data.label_file import list_label_file
from sbn_lightning.data.listing import class_name, digest, list_class_folders
from sbn_lightning.errors import UsageError

COUNTS = {"cat": 3, "dog": 2}


def listed(root: Path) -> tuple[dict[tuple[str, str], int], list[str]]:
    """The number of images of each split and class, and what is not read."""
    files, not_read = list_class_folders(root)
    return dict(Counter((file.split, file.label) for file in files)), not_read


# Splits.


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("Training", "Validation", "Testing"), ("TRAIN", "valid", "Test"), ("training", "Val", "testing")],
)
def test_usual_names_of_splits_are_known_in_any_case(train: str, val: str, test: str, tmp_path: Path) -> None:
    for folder in (train, val, test):
        put_classes(tmp_path / folder, COUNTS)
    counts, not_read = listed(tmp_path)
    assert counts == {(split, name): COUNTS[name] for split in ("train", "val", "test") for name in COUNTS}
    assert not_read == []


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    put_classes(tmp_path / "train", COUNTS)
    put_classes(tmp_path / "Training", COUNTS)
    with pytest.raises(UsageError, match=r"holds Training/ and train/, which all name the split train: put their"):
        list_class_folders(tmp_path)


def test_splits_in_a_csv_file_have_the_same_names(tmp_path: Path) -> None:
    for number in range(3):
        put_image(tmp_path / f"{number}.png", number)
    (tmp_path / "a.csv").write_text("path,label,split\n0.png,a,Training\n1.png,a,TEST\n2.png,a,valid\n")
    assert [file.split for file in list_label_file(tmp_path, tmp_path / "a.csv")] == ["train", "test", "val"]


# What is not read.


def test_what_is_not_read_is_counted_and_named_by_ending(tmp_path: Path) -> None:
    put_classes(tmp_path / "Train", COUNTS)
    put_classes(tmp_path / "test", COUNTS)
    put_classes(tmp_path, {"bird": 2})  # beside a folder that is named like a split
    put_image(tmp_path / "Train" / "loose.png")
    for name in ["IMG_1.HEIC", "IMG_2.heic", "notes.txt", "README"]:
        (tmp_path / "Train" / "cat" / name).write_bytes(b"")
    (tmp_path / "Train" / "cat" / "scan.eps").write_bytes(b"%!PS")
    counts, not_read = listed(tmp_path)
    assert counts == {(split, name): COUNTS[name] for split in ("train", "test") for name in COUNTS}
    assert not_read == [
        f"1 image in {tmp_path}/Train/ itself, in no class's folder, such as loose.png",
        "bird/: beside Train/, but not named like a split",
        "5 files of other kinds (2 .heic, 1 no ending, 1 .txt, 1 .eps; HEIC is read if the package pillow-heif is "
        "installed), such as Train/cat/IMG_1.HEIC",
    ]


def test_class_of_files_that_need_a_reader_says_what_to_install(tmp_path: Path) -> None:
    put_classes(tmp_path, COUNTS)
    (tmp_path / "emu").mkdir()
    for number in range(8):
        (tmp_path / "emu" / f"{number}.HEIC").write_bytes(b"")
    with pytest.raises(UsageError, match=r"emu holds no images \(8 \.heic; HEIC is read if the package pillow-heif is"):
        list_class_folders(tmp_path)


# Links.


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    put_classes(tmp_path / "elsewhere", {"cat": 3, "more": 2})
    put_classes(tmp_path / "root", {"dog": 1})
    (tmp_path / "root" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    (tmp_path / "root" / "dog" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    (tmp_path / "root" / "dog" / "linked.png").symlink_to(tmp_path / "elsewhere" / "cat" / "0.png")
    counts, not_read = listed(tmp_path / "root")
    assert counts == {("", "cat"): 3, ("", "dog"): 4}
    assert not_read == []


def test_links_that_lead_back_are_noticed_and_named(tmp_path: Path) -> None:
    put_classes(tmp_path, COUNTS)
    put_classes(tmp_path / "cat", {"young": 2})
    (tmp_path / "cat" / "all").symlink_to(tmp_path)  # also holds dogs
    (tmp_path / "cat" / "young" / "up").symlink_to(tmp_path / "cat")
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat" / "young")
    (tmp_path / "cat" / "itself").symlink_to(tmp_path / "cat" / "itself")
    counts, not_read = listed(tmp_path)
    assert counts == {("", "cat"): 5, ("", "dog"): 2}
    assert not_read[:3] == [
        f"{path}/: leads to a folder that is read already" for path in ("cat/again", "cat/all", "cat/young/up")
    ]
    assert len(files_below(tmp_path, tmp_path / "cat")[0]) == 6  # the link to itself is a file that cannot be read


def test_link_to_nothing_is_listed_and_noticed_when_it_is_filled(tmp_path: Path) -> None:
    put_classes(tmp_path, COUNTS)
    (tmp_path / "cat" / "9.png").symlink_to(tmp_path / "later.png")
    paths = [file.path for file in list_class_folders(tmp_path)[0]]
    before = digest(tmp_path, paths)
    put_image(tmp_path / "later.png")
    assert "cat/9.png" in paths
    assert digest(tmp_path, paths) != before


# Names.


def test_names_that_differ_in_how_unicode_composes_them_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "héron") for form in ("NFC", "NFD"))
    put_classes(tmp_path / "folders" / "train", {composed: 3, "dog": 3})
    put_classes(tmp_path / "folders" / "test", {decomposed: 1, "dog": 1})
    counts, _ = listed(tmp_path / "folders")
    assert counts == {("train", composed): 3, ("train", "dog"): 3, ("test", composed): 1, ("test", "dog"): 1}

    for number in range(2):
        put_image(tmp_path / f"{decomposed}{number}.png", number)
    lines = [f"{composed}0.png,{composed}", f"{decomposed}1.png,{decomposed}"]
    (tmp_path / "a.csv").write_text("\n".join(["path,label", *lines]))
    files = list_label_file(tmp_path, tmp_path / "a.csv")
    assert {file.label for file in files} == {composed}
    assert all((tmp_path / file.path).is_file() for file in files)


def test_backslashes_in_a_csv_file_are_slashes_unless_the_file_is_called_so(tmp_path: Path) -> None:
    put_image(tmp_path / "a" / "0.png")
    put_image(tmp_path / r"b\1.png")
    (tmp_path / "a.csv").write_text("path,label\na\\0.png,a\nb\\1.png,b\n")
    assert [file.path for file in list_label_file(tmp_path, tmp_path / "a.csv")] == ["a/0.png", r"b\1.png"]
    for outside in (r"..\0.png", r"\0.png", r"C:\0.png"):
        (tmp_path / "a.csv").write_text(f"path,label\n{outside},a\n")
        with pytest.raises(UsageError, match=r"which is outside root|there is no such file"):
            list_label_file(tmp_path, tmp_path / "a.csv")


def test_names_of_classes_are_shown_escaped() -> None:
    assert class_name(os.fsdecode(b"caf\xe9")) == r"caf\xe9"
    assert class_name("a\nb\x1b[31m\u2028") == r"a\nb\x1b[31m\u2028"
    assert class_name("می‌روم 猫 🐈‍⬛ é") == "می‌روم 猫 🐈‍⬛ é"
