"""The user's own images: folders, their splits, and what is refused."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from image_folders import COUNTS, Tree, content, counts, new, put_csv, put_tree, ready, refused
from made_up_images import put_classes, put_image

from sbn_lightning.data.listing import list_class_folders
from sbn_lightning.data.splits import assign_splits
from sbn_lightning.data.store import open_store
from sbn_lightning.errors import UsageError
from sbn_lightning.run.records import read_results

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


def test_what_is_ignored_stands_in_the_manifest(tmp_path: Path) -> None:
    put_tree(tmp_path, dict.fromkeys(["train", "test", "crops"], COUNTS))
    (tmp_path / "train" / "cat" / "notes.txt").write_text("")
    assert ready(tmp_path).manifest().skipped == [
        "crops/: beside train/, but not named like a split",
        "1 file of other kinds (1 .txt), such as train/cat/notes.txt",
    ]


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


# The classes of each folder, and what is said.
MISTAKES: dict[str, tuple[Tree, str]] = {
    "empty class": ({".": COUNTS | {"emu": 0}}, "emu holds no images: add some, or remove the empty class"),
    "one class": (
        {".": {"cat": 5}},
        "one class only, 'cat'; classification needs two or more; a trained model takes images without",
    ),
    "class of one image": (
        {".": {"cat": 5, "dog": 1}},
        "class 'dog' has too few images or groups of images to be divided into train and test: 1",
    ),
    "names that differ in case": ({".": {"cat": 5, "Cat": 5}}, "'Cat' and 'cat' differ only in case"),
    "no class": (
        {},
        r"there are no folders of images: .* with --data.root DIR; a trained model takes images without classes by sbn",
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
