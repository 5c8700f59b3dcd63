"""What holds for every dataset's packed images: when they are packed again, and the names of their files."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from contents import UNCHANGED, content, content_of, received
from opened_data import names
from small_datasets import Dataset

from sbn_lightning.data import Digits, ImageDataModule, ImageFolder
from sbn_lightning.data.pack import Contents, NewStore
from sbn_lightning.data.store import open_store
from sbn_lightning.errors import UsageError


def test_second_start_reads_the_packed_images_only(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = content_of(*dataset.source["train"])
    dataset.ready()
    monkeypatch.setattr(dataset.data_class, "decode", None)
    assert content(dataset.ready().train_dataloader()) == expected


def random_numbers() -> list[float]:
    """The next number of each of the generators that a model's weights and a user's code draw from."""
    return [torch.rand(1).item(), float(np.random.rand()), random.random()]


def test_packing_draws_no_random_number(dataset: Dataset, tmp_path: Path) -> None:
    drawn = []
    for _ in range(2):  # packs, and finds the packed images
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        assert dataset.new(packed_dir=str(tmp_path)).num_classes > 1
        dataset.ready(packed_dir=str(tmp_path))
        drawn.append(random_numbers())
    assert drawn[0] == drawn[1]


def test_packing_of_a_dataset_that_draws_random_numbers_leaves_the_global_state(tmp_path: Path) -> None:
    class Drawing(Digits):
        def decode(self, new: NewStore) -> Contents:
            random_numbers()
            return super().decode(new)

    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Drawing(root=str(tmp_path)).prepare_data()
    assert torch.rand(1) == expected


def test_changed_source_is_packed_again(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = dataset.source["train"]
    place = {"packed_dir": str(tmp_path)}
    dataset.ready(**place)
    decode = dataset.data_class.decode

    def decode_inverted(data: ImageDataModule, new: NewStore) -> Contents:
        contents = decode(data, new)
        new.images[:] = 255 - new.images
        return contents

    monkeypatch.setattr(dataset.data_class, "decode", decode_inverted)
    assert content(dataset.ready(**place).train_dataloader()) == content_of(images, labels)
    monkeypatch.setattr(dataset.data_class, "fingerprint", lambda data: {"source": "another one"})
    data = dataset.ready(**place, **UNCHANGED)
    assert content(data.train_dataloader()) == content_of(255 - images, labels)
    packed_again = received(data, data.train_dataloader()) / 255
    torch.testing.assert_close(packed_again.mean((0, 2, 3)), torch.tensor(data.identity().mean), rtol=0, atol=1e-4)


def test_change_of_any_source_file_is_noticed(dataset: Dataset) -> None:
    before = dataset.new().fingerprint()
    files = [path for path in sorted(dataset.root.rglob("*")) if path.is_file() and ".packed" not in path.parts]
    for file in files[::40]:
        written = file.stat().st_mtime_ns
        os.utime(file, ns=(written, written + 1))
        assert dataset.new().fingerprint() != before
        os.utime(file, ns=(written, written))
    assert dataset.new().fingerprint() == before


def test_packed_images_are_enough_for_their_own_root(dataset: Dataset, tmp_path: Path) -> None:
    root, packed = tmp_path / dataset.root.name, str(tmp_path / "packed")  # ImageFolder names its store after its root
    if dataset.root.exists():
        shutil.copytree(dataset.root, root, ignore=shutil.ignore_patterns(".packed"))
    dataset.ready(root=str(root), packed_dir=packed)
    if root.exists():
        shutil.rmtree(root)
    data = dataset.ready(root=str(root), packed_dir=packed)
    assert content(data.train_dataloader()) == content_of(*dataset.source["train"])
    assert not root.exists()
    if dataset.data_class is not Digits:  # which have no files
        other = tmp_path / "other" / root.name
        with pytest.raises(UsageError, match=f"are those of {root}, not of {other}; name another folder with"):
            dataset.ready(root=str(other), packed_dir=packed)


def test_missing_source_is_an_error_that_says_what_to_name(dataset: Dataset, tmp_path: Path) -> None:
    data = dataset.new(root=str(tmp_path / "nowhere"))
    if dataset.data_class is not Digits:
        with pytest.raises(UsageError, match=r"is not in .*/nowhere/; .*with --data\.(root DIR|csv FILE)"):
            data.prepare_data()
        assert [path.name for path in tmp_path.iterdir()] == []


def test_every_image_has_a_name_of_its_own(dataset: Dataset) -> None:
    store = dataset.ready().store
    files = names(store)
    assert len(set(files)) == len(files) == len(open_store(store).labels)
    if (dataset.root / files[0]).is_file():
        assert all((dataset.root / file).is_file() for file in files)


def test_names_of_a_split_are_those_of_its_images_in_order(dataset: Dataset) -> None:
    data = dataset.ready()
    store, images = open_store(data.store), data.image_names("test")
    assert images == [names(data.store)[row] for row in store.splits["test"]]
    if dataset.data_class is ImageFolder and (dataset.root / images[0]).is_file():
        labels = [data.class_names[label] for label in store.labels[store.splits["test"]]]
        assert all(label in Path(image).parts for label, image in zip(labels, images, strict=True))


def test_setup_without_prepare_data_says_what_to_do(dataset: Dataset, tmp_path: Path) -> None:
    data = dataset.new(packed_dir=str(tmp_path))
    with pytest.raises(UsageError, match=rf"{data.store}; call prepare_data first"):
        data.setup("fit")


def test_source_that_may_not_be_read_is_named(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: ImageDataModule) -> None:
        raise PermissionError(13, "Permission denied", "root/file")

    monkeypatch.setattr(dataset.data_class, "fingerprint", refuse)
    with pytest.raises(UsageError, match=r"cannot be read: .*Permission denied: 'root/file'; make its files readable"):
        dataset.new().prepare_data()
