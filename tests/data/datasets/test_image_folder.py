"""The user's own images: the three ways they may lie, their splits, and what is refused."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import opened_data
import pytest
import torch
from made_up_images import put_classes, put_image

from sbn_lightning.data.datasets.image_folder import ImageFolder
from sbn_lightning.data.label_file import list_label_file
from sbn_lightning.data.listing import list_class_folders
from sbn_lightning.data.splits import assign_splits
from sbn_lightning.data.store import open_store
from sbn_lightning.errors import UsageError
from sbn_lightning.run.records import read_results

COUNTS = {"cat": 20, "dog": 10}


def new(root: Path, **options: Any) -> ImageFolder:
    return ImageFolder(root=str(root), **{"image_size": 8, **options})


def ready(root: Path, **options: Any) -> ImageFolder:
    return opened_data.ready(new(root, **options))


def counts(data: ImageFolder) -> dict[str, list[int]]:
    """Images of each class in each split."""
    loaders = {"train": data.train_dataloader(), "test": data.test_dataloader()}
    if data.validation_stage == "val":
        loaders["val"] = data.val_dataloader()
    labels = {name: torch.cat([batch.labels for batch in loader]) for name, loader in loaders.items()}
    return {name: torch.bincount(part, minlength=data.num_classes).tolist() for name, part in labels.items()}


def content(data: ImageFolder, *splits: str) -> set[bytes]:
    loaders = [getattr(data, f"{name}_dataloader")() for name in splits]
    return {image.numpy().tobytes() for loader in loaders for batch in loader for image in batch.images}


Tree = dict[str, dict[str, int]]


def put_tree(root: Path, tree: Tree) -> None:
    """Write the classes of each folder, no two images alike."""
    for number, (folder, classes) in enumerate(tree.items()):
        put_classes(root / folder, classes, first_seed=100 * number)
        for name in classes:
            (root / folder / name).mkdir(exist_ok=True)


def put_csv(root: Path, header: str, lines: list[str], images: int = 20) -> None:
    """Write root/<number>.png and root/labels.csv."""
    for number in range(images):
        put_image(root / f"{number}.png", number)
    (root / "labels.csv").write_text("\n".join([header, *lines]) + "\n")


# Folders.


TRAIN, OTHER = {"cat": 5, "dog": 3}, {"cat": 2, "dog": 1}
# The classes of each folder, options, and how many images of each class are in each split.
SPLITS: dict[str, tuple[Tree, dict[str, float], dict[str, list[int]]]] = {
    "all given": (
        {"train": TRAIN, "val": OTHER, "test": {"cat": 1, "dog": 4}},
        {},
        {"train": [5, 3], "test": [1, 4], "val": [2, 1]},
    ),
    "the only other one is the test set": ({"train": TRAIN, "val": OTHER}, {}, {"train": [5, 3], "test": [2, 1]}),
    "no validation images": ({"train": TRAIN, "test": OTHER}, {}, {"train": [5, 3], "test": [2, 1]}),
    "drawn by class": (
        {".": COUNTS},
        {"test_fraction": 0.2, "validation_fraction": 0.25},
        {"train": [12, 6], "test": [4, 2], "val": [4, 2]},
    ),
    "at least one of each class": ({".": {"cat": 20, "dog": 2}}, {}, {"train": [18, 1], "test": [2, 1]}),
}


@pytest.mark.parametrize("splits", SPLITS)
def test_class_folders_are_split_as_they_lie_or_by_class(splits: str, tmp_path: Path) -> None:
    tree, options, expected = SPLITS[splits]
    put_tree(tmp_path, tree)
    data = ready(tmp_path, **options)
    assert data.class_names == ["cat", "dog"]
    assert counts(data) == expected
    assert data.validation_stage == ("val" if "val" in expected else "test_each_epoch")
    assert len(content(data, *expected)) == sum(map(sum, expected.values()))


def test_split_depends_on_the_classs_file_names_only(tmp_path: Path) -> None:
    put_classes(tmp_path / "a", COUNTS)
    put_classes(tmp_path / "b", {"bird": 5, **COUNTS})
    files, more_files = (
        {file for file in assign_splits(list_class_folders(tmp_path / name)[0], 0.1, 0) if file.label != "bird"}
        for name in ("a", "b")
    )
    assert files == more_files


def test_images_of_every_format_are_found_in_folders_of_any_depth_but_hidden_ones(tmp_path: Path) -> None:
    put_classes(tmp_path, {"plane": 4, "train": 4})  # a class may be called train
    for suffix in (".JPG", ".webp", ".bmp", ".tiff", ".gif"):
        put_image(tmp_path / "plane" / "more" / f"0{suffix}")
    (tmp_path / "plane" / "._0.png").write_bytes(b"")
    (tmp_path / ".cache").mkdir()
    put_image(tmp_path / "plane" / ".thumbnails" / "0.png")
    files, ignored = list_class_folders(tmp_path)
    assert Counter(file.label for file in files) == {"plane": 9, "train": 4}
    assert not ignored


def test_class_sizes_are_said_and_what_is_ignored_stands_in_the_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_tree(tmp_path, dict.fromkeys(["train", "test", "crops"], COUNTS))
    (tmp_path / "train" / "cat" / "notes.txt").write_text("")
    assert ready(tmp_path).manifest().skipped == [
        "crops/: beside train/, but not named like a split",
        "1 file of other kinds (1 .txt), such as train/cat/notes.txt",
    ]
    assert "2 classes with 10 (dog) to 20 (cat) training images" in capsys.readouterr().out


@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
def test_images_of_any_shape_become_square(fit: str, tmp_path: Path) -> None:
    for number in range(4):
        put_image(tmp_path / f"class {number % 2}" / f"{number}.png", number, size=(20, 10))
    data = ready(tmp_path, fit=fit)
    assert data.image_shape == (3, 8, 8)
    borders = open_store(data.store).images[:, :, 0]
    assert (borders.max() == 0) == (fit == "letterbox")


@pytest.mark.parametrize(
    "options",
    [{"image_size": 16}, {"fit": "squash"}, {"test_fraction": 0.3}, {"on_bad_image": "skip"}, {"csv": "labels.csv"}],
)
def test_settings_that_change_the_images_or_splits_have_stores_of_their_own(
    options: dict[str, Any], tmp_path: Path
) -> None:
    assert new(tmp_path, **options).store != new(tmp_path).store
    assert new(tmp_path, batch_size=64, seed=1, validation_fraction=0.5).store == new(tmp_path).store


def test_new_and_removed_files_are_packed_again(tmp_path: Path) -> None:
    put_classes(tmp_path, COUNTS)
    before = content(ready(tmp_path), "train")
    put_image(tmp_path / "cat" / "new.png", 88)
    assert ready(tmp_path).num_images == {"train": 28, "test": 3}
    (tmp_path / "cat" / "new.png").unlink()
    assert content(ready(tmp_path), "train") == before


def test_run_that_packs_ends_with_the_weights_of_the_next_one(tmp_path: Path, sbn: Callable[..., None]) -> None:
    put_classes(tmp_path / "photos", {"a\nb": 8, os.fsdecode(b"caf\xe9"): 8, "$x_": 8, "\x1b[31m": 8})  # drawn, too
    weights = []
    for run in ("packs", "later"):
        sbn(
            "fit", "--config", "image_folder_sbn", "--data.root", "photos", "--data.image_size", 8, "--run_dir", run,
            "--model.backbone", "SmallCNN", "--model.backbone.width", 4, "--trainer.max_epochs", 1,
            "--trainer.enable_progress_bar", False, "--trainer.log_every_n_steps", 1,
        )  # fmt: skip
        weights.append(torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert [path.name for path in tmp_path.glob("photos/*") if path.name.startswith(".")] == [".packed"]
    assert read_results(Path("packs")).data.classes == 4


def test_store_of_an_earlier_version_is_found(tmp_path: Path) -> None:
    put_classes(tmp_path, COUNTS)
    data = ready(tmp_path)
    (tmp_path / ".packed").rename(tmp_path / "packed")
    assert ready(tmp_path).store == tmp_path / "packed" / data.store_name
    assert not (tmp_path / ".packed" / data.store_name).exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes on this system")
def test_pipe_among_the_photos_is_an_error_or_skipped(tmp_path: Path) -> None:
    put_classes(tmp_path, COUNTS)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    refused(tmp_path, r"cat/pipe.png is not a regular file")
    assert ready(tmp_path, on_bad_image="skip").manifest().skipped == ["cat/pipe.png: is not a regular file"]


def test_root_with_a_long_name_can_be_packed(tmp_path: Path) -> None:
    put_classes(tmp_path / ("a" * 250), COUNTS)
    assert ready(tmp_path / ("a" * 250)).num_images == {"train": 27, "test": 3}


def test_held_out_share_that_leaves_a_class_empty_names_it_with_what_to_do(tmp_path: Path) -> None:
    put_classes(tmp_path / "a", {"cat": 40, "dog": 40, "emu": 3})
    with pytest.raises(
        UsageError, match=r"0\.1 does not divide the 2 training images of class 'emu' .* from 0\.5 to 0"
    ):
        ready(tmp_path / "a", validation_fraction=0.1)
    put_classes(tmp_path / "b", {"cat": 40, "fox": 1})
    refused(tmp_path / "b", r"class 'fox' has too few images or groups of images .*: 1; add some, or remove the class")


# Errors in folders.


def refused(root: Path, match: str, **options: Any) -> None:
    """Expect the error, and no half-written store."""
    with pytest.raises(UsageError, match=match):
        new(root, **options).prepare_data()
    assert not [path for path in root.glob(".packed/*") if not path.name.endswith(".lock")]


# The classes of each folder, and what is said.
MISTAKES: dict[str, tuple[Tree, str]] = {
    "empty class": ({".": COUNTS | {"emu": 0}}, "emu holds no images: add some, or remove the empty class"),
    "one class": (
        {".": {"cat": 5}},
        "one class only, 'cat'; classification needs two or more, and sbn predict takes the test images of such",
    ),
    "class of one image": (
        {".": {"cat": 5, "dog": 1}},
        "class 'dog' has too few images or groups of images to be divided into train and test: 1",
    ),
    "names that differ in case": ({".": {"cat": 5, "Cat": 5}}, "'Cat' and 'cat' differ only in case"),
    "no class": (
        {},
        r"there are no folders of images: .* with --data.root DIR; sbn predict, too, takes the test images",
    ),
    "unknown class": (
        {"train": COUNTS, "test": {"cat": 2, "emu": 1}},
        "the test images have the classes 'emu', of which there are no training images",
    ),
    "no training images": ({"test": COUNTS}, "holds test/ but no train/"),
    "no test images": ({"train": COUNTS}, "all images are in train, but there must be training and test images"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_an_error_that_says_what_to_do(mistake: str, tmp_path: Path) -> None:
    folders, message = MISTAKES[mistake]
    put_tree(tmp_path, folders)
    put_image(tmp_path / "beside.png")
    refused(tmp_path, message)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_bad_image_is_an_error_or_a_line_in_the_manifest(content: bytes, tmp_path: Path) -> None:
    put_classes(tmp_path, COUNTS)
    (tmp_path / "cat" / "3.png").write_bytes(content)
    refused(tmp_path, r"cat/3\.png .* --data.on_bad_image skip")
    data = ready(tmp_path, on_bad_image="skip")
    assert sum(data.num_images.values()) == 29
    (line,) = data.manifest().skipped
    assert line.startswith("cat/3.png: ")


def test_class_without_a_readable_training_image_is_an_error(tmp_path: Path) -> None:
    put_classes(tmp_path, COUNTS)
    for path in (tmp_path / "dog").iterdir():
        path.write_bytes(b"")
    refused(tmp_path, "no training image of 'dog' can be read", on_bad_image="skip")


@pytest.mark.parametrize("csv", [None, "labels.csv"])
def test_hold_out_beside_given_validation_images_is_an_error(csv: str | None, tmp_path: Path) -> None:
    splits = ["train", "test", "val"]
    put_tree(tmp_path, dict.fromkeys(splits, COUNTS))
    lines = [f"{split}/{name}/{i}.png,{name},{split}" for split in splits for name in COUNTS for i in range(10)]
    put_csv(tmp_path, "path,label,split", lines, images=0)
    with pytest.raises(UsageError, match=r"validation_fraction is 0\.1, but"):
        ready(tmp_path, validation_fraction=0.1, csv=csv)


@pytest.mark.parametrize(("argument", "value"), [("image_size", 0), ("test_fraction", 0.0), ("test_fraction", 1.0)])
def test_argument_out_of_its_range_is_refused(argument: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{argument} is {value}; "):
        new(tmp_path, **{argument: value})


# CSV files.


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
