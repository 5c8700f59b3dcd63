"""Images for a trained model: the pixels of its training, in batches of which few are in memory."""

from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from deep_png import deep_png
from image_batches import all_of
from msgspec.structs import replace
from PIL import Image

from sbn_lightning.data.decode import MAX_PIXELS
from sbn_lightning.deploy.images import ImageFiles, ImageSource, SplitOfRun
from sbn_lightning.deploy.trained import Trained, data_of


def test_photos_of_the_training_have_the_very_pixels_of_the_training(photo_run: Path, trained: Trained) -> None:
    data = data_of(photo_run)
    folder = photo_run.parent / "photos"
    names, images, labels, errors = all_of(ImageFiles([str(folder)], trained.data), 7)
    assert not any(errors)
    own = dict(zip(names, zip(images, labels.tolist(), strict=True), strict=True))
    assert len(own) == 60
    for split in ("train", "test"):
        rows = torch.arange(data.num_images[split])
        stored = data.stored_images(split, rows)
        for name, pixels in zip(data.image_names(split), stored, strict=True):
            assert torch.equal(own[f"{folder}/{name}"][0], pixels)
            assert trained.data.class_names[own[f"{folder}/{name}"][1]] == name.split("/")[0]


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_split_of_a_run_gives_its_images_names_and_labels(photo_run: Path, batch_size: int) -> None:
    data = data_of(photo_run)
    source: ImageSource = SplitOfRun(data, "test")
    names, images, labels, errors = all_of(source, batch_size)
    assert source.count == len(names) == data.num_images["test"]
    assert names == data.image_names("test")
    assert torch.equal(images, data.stored_images("test", torch.arange(len(names))))
    assert [data.class_names[label] for label in labels] == [name.split("/")[0] for name in names]
    assert errors == [""] * len(names)


@pytest.mark.parametrize(("count", "batch_size"), [(1, 64), (9, 4), (150, 64), (150, 1000)])
def test_files_come_in_order_in_batches_of_at_most_the_size(
    count: int, batch_size: int, trained: Trained, tmp_path: Path
) -> None:
    for number in range(count):
        Image.new("L", (16, 16), number).save(tmp_path / f"{number:03}.png")
    source = ImageFiles([str(tmp_path)], trained.data)
    batches = [read(Event()) for read in source.batches(batch_size)]
    assert max(len(batch.names) for batch in batches) <= batch_size
    assert [int(image[0, 0, 0]) for batch in batches for image in batch.images] == list(range(count))
    assert [name for batch in batches for name in batch.names] == [str(tmp_path / f"{n:03}.png") for n in range(count)]
    assert {label for batch in batches for label in batch.labels.tolist()} == {-1}


def test_batch_that_nobody_wants_any_more_is_not_read_to_its_end(trained: Trained, tmp_path: Path) -> None:
    for number in range(3):
        Image.new("L", (16, 16), number).save(tmp_path / f"{number}.png")
    [read] = ImageFiles([str(tmp_path)], trained.data).batches(16)
    left = Event()
    left.set()
    with pytest.raises(CancelledError):
        read(left)


WIDE = b"BM" + bytes(8) + b"\x36\0\0\0\x28\0\0\0" + 2 * (20_000).to_bytes(4, "little") + b"\1\0\x18\0" + bytes(24)
BAD = {
    "empty.jpg": (b"", "is empty"),
    "text.jpg": (b"just text", "is not an image in a supported format"),
    "broken.png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "is"),
    "huge.bmp": (WIDE, f"more than {MAX_PIXELS // 10**6} million pixels"),
}


def test_bad_files_among_photos_are_black_with_a_reason_and_the_others_are_read(
    trained: Trained, tmp_path: Path
) -> None:
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "pipe.png").symlink_to("/dev/zero")
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(tmp_path / "good.cmyk.jpg")
    Image.new("RGB", (16, 16), (9, 9, 9)).save(tmp_path / "good.png")
    (tmp_path / "good.deep.png").write_bytes(deep_png(4095))
    source = ImageFiles([str(tmp_path)], trained.data)
    names, images, _, errors = all_of(source, 64)
    found = dict(zip((Path(name).name for name in names), zip(errors, images, strict=True), strict=True))
    for name, (_, problem) in BAD.items():
        assert problem in found[name][0]
        assert not found[name][1].any()
    assert found["pipe.png"][0] == "is not a regular file"
    good = {name: int(image[1, 8, 8]) for name, (error, image) in found.items() if not error}
    assert good == {"good.cmyk.jpg": 255, "good.png": 9, "good.deep.png": 255}
    assert source.remarks() == [("Levels", "1 16-bit image taken with as many bits as each needs")]


def test_file_that_vanishes_while_it_is_read_is_a_row_with_an_error(trained: Trained, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    source = ImageFiles([str(tmp_path / "a.png")], trained.data)
    (tmp_path / "a.png").unlink()
    assert all_of(source, 64).errors == ["cannot be read (No such file or directory)"]


def test_16_bit_photos_have_the_bits_of_the_training(trained: Trained, tmp_path: Path) -> None:
    for level in (700, 4096):
        (tmp_path / f"{level}.png").write_bytes(deep_png(level))
    source = ImageFiles([str(tmp_path)], replace(trained.data, bits=12))
    _, images, _, errors = all_of(source, 64)
    assert np.unique(images[errors.index("")]).tolist() == [700 >> 4]
    assert "more than the 12 bits" in errors[1 - errors.index("")]
    assert source.remarks() == [("Levels", "1 16-bit image taken as 12 bits, like the training's")]


def test_files_that_were_named_again_and_folders_that_are_no_class_are_spoken_of(
    photo_run: Path, trained: Trained, tmp_path: Path
) -> None:
    folder = photo_run.parent / "photos"
    for name in ("cat", "other"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (16, 16)).save(tmp_path / name / "a.png")
    source = ImageFiles([str(folder / "cat/000.jpg"), str(folder / "cat"), str(tmp_path)], trained.data)
    assert (source.count, source.has_labels) == (22, False)
    assert [name for name, _ in source.remarks()] == ["Named again", "No labels"]
    assert f"{tmp_path} holds other, of which there is no class" in source.remarks()[1][1]
