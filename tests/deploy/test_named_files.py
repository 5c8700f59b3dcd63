"""Which files a user means by files, folders and patterns, and which classes the folders say."""

import os
from pathlib import Path

import pytest
from made_up_images import put_classes, put_image

from sbn_lightning.data.folders import FolderReader, ReadFolder
from sbn_lightning.deploy.named_files import UNKNOWN, NamedFile, NamedFiles
from sbn_lightning.errors import UsageError

CLASSES = ["cat", "dog", r"a\nb"]


@pytest.fixture(autouse=True)
def photos(empty_folder: Path) -> Path:
    """photos/ with two classes, three photos and other files, in the current folder."""
    put_classes(Path("photos"), {"cat": 2, "dog": 1})
    Path("photos/cat/notes.txt").write_text("no photo")
    Path("photos/cat/.hidden.png").write_bytes(b"")
    return Path("photos")


def named(*arguments: str) -> list[tuple[str, int]]:
    """The paths and labels of what is named; as many as were counted."""
    files = NamedFiles(arguments, CLASSES)
    found = list(files)
    assert files.count == len(found)
    assert not any(file.error for file in found)
    assert files.has_labels == any(file.label != UNKNOWN for file in found)
    return [(file.path, file.label) for file in found]


def test_folder_is_read_with_its_folders_which_say_the_classes() -> None:
    assert named("photos") == [("photos/cat/0.png", 0), ("photos/cat/1.png", 0), ("photos/dog/0.png", 1)]


def test_folders_inside_a_class_belong_to_it() -> None:
    put_image(Path("photos/dog/young/small/0.png"))
    assert named("photos")[-1] == ("photos/dog/young/small/0.png", 1)


def test_splits_with_folders_of_classes_say_the_classes(photos: Path) -> None:
    photos.rename("test")
    put_classes(Path("data/Training"), {"dog": 1})
    Path("test").rename("data/test")
    put_image(Path("data/0.png"))
    assert named("data") == [
        ("data/0.png", UNKNOWN),
        ("data/Training/dog/0.png", 1),
        *[(f"data/test/cat/{number}.png", 0) for number in range(2)],
        ("data/test/dog/0.png", 1),
    ]


def test_folder_that_is_no_class_leaves_all_without_labels_and_is_named_unless_it_has_no_images(photos: Path) -> None:
    (photos / "packed").mkdir()
    (photos / "packed" / "manifest.json").write_text("{}")
    assert [label for _, label in named("photos")] == [0, 0, 1]
    put_image(photos / "other" / "0.png")
    files = NamedFiles(["photos"], CLASSES)
    assert {file.label for file in files} == {UNKNOWN}
    assert files.unlabelled == {"photos": ["other"]}


def test_folders_that_have_nothing_to_do_with_the_classes_are_not_spoken_of() -> None:
    put_classes(Path("holidays"), {"1999": 1, "2000": 1})
    files = NamedFiles(["holidays"], CLASSES)
    assert not files.has_labels
    assert files.unlabelled == {}


def test_files_and_a_class_s_folder_have_no_labels_and_a_file_may_have_any_name() -> None:
    assert named("photos/cat", "photos/dog/0.png", "photos/cat/notes.txt") == [
        (path, UNKNOWN) for path in ("photos/cat/0.png", "photos/cat/1.png", "photos/dog/0.png", "photos/cat/notes.txt")
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*/0.png", ["photos/cat/0.png", "photos/dog/0.png"]),
        ("photos/**/[1-9].png", ["photos/cat/1.png"]),
        ("photos/d*", ["photos/dog/0.png"]),  # a folder
        ("photos/**", ["photos/cat/0.png", "photos/cat/1.png", "photos/dog/0.png", "photos/cat/notes.txt"]),
    ],
)
def test_pattern_means_what_it_finds(pattern: str, expected: list[str]) -> None:
    assert [os.path.normpath(path) for path, _ in named(pattern)] == expected


def test_file_whose_name_looks_like_a_pattern_is_that_file() -> None:
    put_image(Path("photo[1].png"))
    put_image(Path("photo1.png"))
    assert named("photo[1].png") == [("photo[1].png", UNKNOWN)]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ("photos/dog/0.png photos/dog/0.png ./photos/../photos/dog/0.png", 1),
        ("photos photos", 3),
        ("photos photos/dog photos/dog/0.png", 3),
        ("photos/dog/0.png photos/dog photos", 3),
        ("photos/dog linked", 3),
        ("photos/*/*.png photos", 3),
    ],
)
def test_file_that_is_named_twice_is_read_once(arguments: str, count: int) -> None:
    Path("linked").symlink_to("photos")
    assert len(named(*arguments.split())) == count


def test_number_of_files_that_are_named_again_is_known() -> None:
    assert NamedFiles(["photos/dog/0.png", "photos/dog/0.png", "photos"], CLASSES).repeated == 2


def test_links_that_lead_back_have_an_end(photos: Path) -> None:
    (photos / "cat" / "all").symlink_to(photos.absolute())
    (photos / "cat" / "itself").symlink_to("itself")
    (photos / "dog" / "cats").symlink_to(photos.absolute() / "cat")
    assert len(named("photos")) == 3


def test_names_of_any_kind_are_taken_as_they_are() -> None:
    names = ["a b.png", "quo\"te's.png", "new\nline.png", "猫.png", "=1+1.png", os.fsdecode(b"\xff.png")]
    for name in names:
        put_image(Path("odd") / name)
    assert {path for path, _ in named("odd")} == {f"odd/{name}" for name in names}
    put_image(Path("photos/a\nb/0.png"))  # the folder of a class whose name has been made printable
    assert ("photos/a\nb/0.png", 2) in named("photos")


def test_folder_that_cannot_be_read_is_a_file_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    read = FolderReader.below

    def refused(reader: FolderReader, folder: str) -> object:
        yield from read(reader, folder)
        yield ReadFolder("photos/secret", [], error=PermissionError(13, "Permission denied"))

    monkeypatch.setattr(FolderReader, "below", refused)
    *_, last = NamedFiles(["photos/dog"], CLASSES)
    assert last == NamedFile("photos/secret", error="cannot be read (Permission denied)")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("nowhere", "there is no file or folder nowhere; --images takes"),
        (" ", "a path is empty, as of a variable of the shell that is not set"),
        ("photos/*.gif", r"the pattern photos/\*.gif matches no file"),
        ("empty", r"there is no image in empty; name images, or a folder with images: .* end in .*\.jpg, .*\.png"),
    ],
)
def test_nothing_to_read_is_refused_with_what_is_looked_for(arguments: str, expected: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(UsageError, match=expected):
        NamedFiles(arguments.split() or [""], CLASSES)
