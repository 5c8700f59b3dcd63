"""What holds for every dataset. A new one is held to all of it by a line in DATASETS."""

import inspect
import os
import sys
from argparse import ArgumentError
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from made_up_cifar100 import put_cifar100
from made_up_images import put_classes
from made_up_tiny_imagenet import tiny_imagenet_files, write_folder, write_zip
from opened_data import Recorder, names, quiet_trainer, ready
from torch import Tensor

from sbn_lightning.data import (
    CIFAR100,
    Digits,
    EvaluationLoader,
    FaceScrub,
    ImageDataModule,
    ImageFolder,
    TinyImageNet,
    datasets,
)
from sbn_lightning.data.datasets import facescrub
from sbn_lightning.data.decode import decode_image
from sbn_lightning.data.loader import Batch
from sbn_lightning.data.pack import Contents, NewStore
from sbn_lightning.data.store import open_store
from sbn_lightning.errors import UsageError

Options = dict[str, Any]
STAGES = ("train", "val", "test")


def no_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    return {}


def cifar100(labels: str) -> Callable[[Path, pytest.MonkeyPatch], Options]:
    def put_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
        put_cifar100(root, monkeypatch)
        return {"labels": labels}

    return put_files


def faces(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    monkeypatch.setattr(facescrub, "NUM_CLASSES", 4)
    monkeypatch.setattr(facescrub, "IMAGE_SIZE", (8, 8))
    put_classes(root, {f"Name_{label}": 25 for label in range(4)})
    return {"min_images_per_class": 20}


def class_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    put_classes(root, {"cat": 25, "dog": 50, "emu": 25})
    return {"image_size": 8, "test_fraction": 0.2}


def csv_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    put_classes(root / "images", {"cat": 25, "dog": 50, "emu": 25})
    paths = sorted(path.relative_to(root) for path in root.glob("*/*/*"))
    (root / "labels.csv").write_text("\n".join(["path,label", *(f"{path},{path.parent.name}" for path in paths)]))
    return {"image_size": 8, "test_fraction": 0.2, "csv": "labels.csv"}


def small_tiny_imagenet(write: Callable[[Path, dict[str, bytes]], None], path: str) -> Callable[..., Options]:
    def put_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
        monkeypatch.setattr(TinyImageNet, "num_classes", 10)
        write(root / path, tiny_imagenet_files(10, 10, 3))
        return {}

    return put_files


# The class, and what puts a small source into root and gives the arguments that are this dataset's own.
DATASETS: dict[str, tuple[type[ImageDataModule], Callable[[Path, pytest.MonkeyPatch], Options]]] = {
    "digits": (Digits, no_files),
    "cifar100_fine": (CIFAR100, cifar100("fine")),
    "cifar100_coarse": (CIFAR100, cifar100("coarse")),
    "tiny_imagenet_zip": (TinyImageNet, small_tiny_imagenet(write_zip, "tiny-imagenet-200.zip")),
    "tiny_imagenet_folder": (TinyImageNet, small_tiny_imagenet(write_folder, "")),
    "facescrub": (FaceScrub, faces),
    "image_folder": (ImageFolder, class_folders),
    "image_folder_csv": (ImageFolder, csv_file),
}


@dataclass
class Dataset:
    """A dataset whose source lies in root, packed once for all tests."""

    data_class: type[ImageDataModule]
    root: Path
    options: Options

    def new(self, **options: Any) -> ImageDataModule:
        return self.data_class(**{"root": str(self.root), **self.options, **options})

    def ready(self, **options: Any) -> ImageDataModule:
        return ready(self.new(**options))

    @cached_property
    def source(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Images and labels of each split as they come from the source, without packing."""
        new = InMemory()
        contents = self.new().decode(new)
        labels = np.asarray(contents.labels)
        return {name: (new.images[list(rows)], labels[list(rows)]) for name, rows in contents.splits.items()}


class InMemory:
    """Takes the place of a new store."""

    def put(self, names: list[str], *arrays: np.ndarray) -> None:
        self.images = np.concatenate(arrays)
        assert len(set(names)) == len(self.images)

    def decode(
        self, source: Any, names: list[str], size: tuple[int, int], fit: Any = "squash", *_: Any, **__: Any
    ) -> Any:
        self.images = np.stack([decode_image(source.read(name), size, fit) for name in names])
        return np.ones(len(names), bool)


@pytest.fixture(scope="module", params=DATASETS)
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    data_class, put_files = DATASETS[request.param]
    root = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        yield Dataset(data_class, root, put_files(root, patch))


UNCHANGED = {"crop_padding": 0, "horizontal_flip": False}


def content(batches: Iterable[Batch]) -> Counter[tuple[bytes, int]]:
    """Every image with its label, in no order."""
    return Counter(
        (image.numpy().tobytes(), label)
        for batch in batches
        for image, label in zip(batch.images, batch.labels.tolist(), strict=True)
    )


def content_of(images: np.ndarray, labels: np.ndarray) -> Counter[tuple[bytes, int]]:
    return Counter((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def received(data: ImageDataModule, batches: Iterable[Batch]) -> list[tuple[Tensor, Tensor]]:
    """What the model gets."""
    return [data.on_after_batch_transfer(batch, 0) for batch in batches]


# Batches.


def test_model_receives_float_images_and_labels_in_range(dataset: Dataset) -> None:
    data = dataset.ready(batch_size=12)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        first, *_ = received(data, loader)
        images, labels = first
        assert images.shape == (12, *data.image_shape)
        assert images.shape[1] == 3
        assert images.dtype == torch.float32
        assert images.isfinite().all()
        assert labels.shape == (12,)
        assert labels.dtype == torch.int64
        assert labels.min() >= 0
        assert labels.max() < data.num_classes


def test_training_images_have_mean_0_and_std_1_in_each_channel(dataset: Dataset) -> None:
    data = dataset.ready(**UNCHANGED)
    images = torch.cat([images for images, _ in received(data, data.train_dataloader())]).double()
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3).double(), rtol=0, atol=1e-6)


def test_test_images_are_normalized_as_the_training_images_are(dataset: Dataset) -> None:
    data = dataset.ready()
    training_pixels = dataset.source["train"][0].astype(np.float64)
    mean, std = (
        moment.reshape(3, 1, 1) for moment in (training_pixels.mean((0, 2, 3)), training_pixels.std((0, 2, 3)))
    )
    expected = (dataset.source["test"][0] - mean) / std
    images = torch.cat([images for images, _ in received(data, data.test_dataloader())])
    torch.testing.assert_close(images.double(), torch.from_numpy(expected), rtol=0, atol=1e-5)


def test_loaders_hold_every_image_of_the_source_with_its_label(dataset: Dataset) -> None:
    data = dataset.ready(batch_size=50)
    for split, loader in (("train", data.train_dataloader()), ("test", data.test_dataloader())):
        assert content(loader) == content_of(*dataset.source[split])
    assert content(data.predict_dataloader()) == content(data.test_dataloader())


@pytest.mark.parametrize("padding", [0, 2])
def test_training_images_are_cropped_and_flipped_before_they_are_normalized(dataset: Dataset, padding: int) -> None:
    plain, augmented = dataset.ready(**UNCHANGED), dataset.ready(crop_padding=padding, horizontal_flip=True)
    assert augmented.augmentation is not None
    unchanged, batch = next(iter(plain.train_dataloader())), next(iter(augmented.train_dataloader()))
    assert torch.equal(batch.images, unchanged.images)
    assert batch.draws is not None
    cropped = Batch(augmented.augmentation(batch.images, batch.draws), batch.labels, None)
    ((expected, _),), ((images, _),) = received(plain, [cropped]), received(augmented, [batch])
    assert torch.equal(images, expected)
    assert not torch.equal(images, received(plain, [unchanged])[0][0])


def test_only_training_images_are_augmented(dataset: Dataset) -> None:
    data = dataset.ready(validation_fraction=0.2, crop_padding=2, horizontal_flip=True)
    assert all(batch.draws is not None for batch in data.train_dataloader())
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert all(batch.draws is None for batch in loader)


def test_seed_decides_the_training_batches(dataset: Dataset) -> None:
    first, again, other = (
        torch.cat([images for images, _ in received(data, data.train_dataloader())])
        for data in (dataset.ready(seed=seed, crop_padding=1) for seed in (3, 3, 4))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_processes_share_each_batch(dataset: Dataset) -> None:
    alone = dataset.ready(batch_size=50)
    shares = [dataset.ready(batch_size=50) for _ in range(2)]
    for rank, data in enumerate(shares):
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)
    first, second = (data.train_dataloader() for data in shares)
    for whole, *parts in zip(alone.train_dataloader(), first, second, strict=True):
        assert [len(part.labels) for part in parts] == [-(-len(whole.labels) // 2), len(whole.labels) // 2]
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    first, second = (content(data.test_dataloader()) for data in shares)
    assert first + second == content(alone.test_dataloader())
    assert abs(first.total() - second.total()) <= 1


# Facts.


def test_every_class_has_a_name_and_a_count(dataset: Dataset) -> None:
    data = dataset.ready()
    assert len(data.class_names) == len(set(data.class_names)) == data.num_classes
    expected = np.bincount(dataset.source["train"][1], minlength=data.num_classes)
    assert data.class_counts.tolist() == expected.tolist()


def test_number_of_classes_is_known_before_setup(dataset: Dataset) -> None:
    num_classes = dataset.ready().num_classes
    assert dataset.new().num_classes == num_classes
    if dataset.data_class not in (FaceScrub, ImageFolder):  # without files, too, unless it depends on them
        assert dataset.new(root="nowhere").num_classes == num_classes


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_numbers_of_images_are_those_of_the_loaders(dataset: Dataset, fraction: float) -> None:
    data = dataset.ready(validation_fraction=fraction)
    loaders = {"train": data.train_dataloader(), "test": data.test_dataloader()}
    if fraction:
        loaders["val"] = data.val_dataloader()
    assert data.num_images == {name: content(loader).total() for name, loader in loaders.items()}


# Packing.


def test_second_start_reads_the_packed_images_only(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset.ready()

    def decode(data: ImageDataModule, new: NewStore) -> None:
        raise AssertionError("there is a packed store of this source")

    monkeypatch.setattr(dataset.data_class, "decode", decode)
    assert content(dataset.ready().train_dataloader()) == content_of(*dataset.source["train"])


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
    packed_again = torch.cat([images for images, _ in received(data, data.train_dataloader())])
    torch.testing.assert_close(packed_again.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-4)


def test_change_of_any_source_file_is_noticed(dataset: Dataset) -> None:
    before = dataset.new().fingerprint()
    files = [path for path in sorted(dataset.root.rglob("*")) if path.is_file() and "packed" not in path.parts]
    for file in files[::40]:
        written = file.stat().st_mtime_ns
        os.utime(file, ns=(written, written + 1))
        assert dataset.new().fingerprint() != before
        os.utime(file, ns=(written, written))
    assert dataset.new().fingerprint() == before


def test_packed_images_are_enough(dataset: Dataset, tmp_path: Path) -> None:
    packed = str(dataset.ready().packed_dir)
    root = tmp_path / dataset.root.name  # ImageFolder names its store after it
    data = dataset.ready(root=str(root), packed_dir=packed)
    assert content(data.train_dataloader()) == content_of(*dataset.source["train"])
    assert not root.exists()


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


# Validation.


def test_hold_out_is_stratified_disjoint_and_complete(dataset: Dataset) -> None:
    everything = dataset.ready()
    data = dataset.ready(validation_fraction=0.2)
    assert data.validation_stage == "val"
    train, val = content(data.train_dataloader()), content(data.val_dataloader())
    assert train + val == content(everything.train_dataloader())
    assert val.total() == -(-everything.num_images["train"] // 5)
    held_out = everything.class_counts - data.class_counts
    assert (held_out - everything.class_counts / 5).abs().max() < 1
    assert content(data.test_dataloader()) == content(everything.test_dataloader())
    for options in ({"seed": 1}, {"test_each_epoch": False}):
        other = dataset.ready(validation_fraction=0.2, **options)
        assert content(other.val_dataloader()) == val
        assert content(other.train_dataloader()) == train


def test_without_hold_out_the_test_set_is_watched_under_its_own_name(dataset: Dataset) -> None:
    data = dataset.ready()
    assert data.validation_stage == "test_each_epoch"
    loader = data.val_dataloader()
    assert isinstance(loader, EvaluationLoader)
    assert content(loader) == content(data.test_dataloader())
    unwatched = dataset.ready(test_each_epoch=False)
    assert unwatched.validation_stage is None
    assert unwatched.val_dataloader() == []


def images_seen(recorder: Recorder) -> dict[str, int]:
    return {name: sum(len(labels) for stage, _, labels in recorder.batches if stage == name) for name in STAGES}


def test_trainer_passes_over_every_image_once_an_epoch(dataset: Dataset) -> None:
    recorder, data, trainer = Recorder(), dataset.new(validation_fraction=0.2), quiet_trainer()
    trainer.fit(recorder, datamodule=data)
    trainer.test(recorder, datamodule=data, verbose=False)
    train, val, test = (data.num_images[name] for name in STAGES)
    assert images_seen(recorder) == {"train": 2 * train, "val": 2 * val, "test": test}


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")  # it is meant to be
def test_trainer_fits_where_nothing_is_watched(dataset: Dataset) -> None:
    recorder, data = Recorder(), dataset.new(test_each_epoch=False)
    quiet_trainer().fit(recorder, datamodule=data)
    assert images_seen(recorder) == {"train": 2 * data.num_images["train"], "val": 0, "test": 0}


def test_validating_without_validation_images_says_what_to_do(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=r"no validation images, since validation_fraction is 0; use `sbn test`, or"):
        quiet_trainer().validate(Recorder(), datamodule=dataset.new(), verbose=False)


# Errors.


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("validation_fraction", -0.1),
        ("validation_fraction", 1.0),
        ("validation_fraction", float("nan")),
        ("batch_size", 1),
        ("batch_size", -4),
        ("crop_padding", -1),
    ],
)
def test_argument_out_of_its_range_is_refused(dataset: Dataset, argument: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{argument} is {value}; "):
        dataset.new(**{argument: value})


def test_too_small_a_hold_out_names_the_fraction_and_the_images(dataset: Dataset) -> None:
    count = dataset.ready().num_images["train"]
    with pytest.raises(UsageError, match=f"validation_fraction 0.0001 does not split {count} images by class"):
        dataset.ready(validation_fraction=1e-4)


# Options, and new datasets.

COMMON = set(inspect.signature(ImageDataModule).parameters) - {"download"}


@pytest.fixture
def parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=int, default=3)
    parser.add_subclass_arguments(ImageDataModule, "data")
    parser.link_arguments("seed_everything", "data.init_args.seed")
    return parser


@pytest.mark.parametrize("name", ["CIFAR100", "Digits", "FaceScrub", "ImageFolder", "TinyImageNet"])
def test_options_of_all_datasets_are_documented_checked_and_set(
    name: str, parser: ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parser.parse_args(["--data", name, "--data.batch_size", "64"])
    assert COMMON - set(config.data.init_args.keys()) == set()
    data = parser.instantiate(config).data
    assert (data.batch_size, data.seed) == (64, 3)
    with pytest.raises(ArgumentError, match="'batchsize' is not accepted"):
        parser.parse_args(["--data", name, "--data.batchsize", "64"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--data.help", name])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f"--data.{option} " in text for option in COMMON)
    assert "Images in a batch, over all devices." in text


STRIPES = '''
import numpy as np

from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.pack import Contents, NewStore


class Stripes(ImageDataModule):
    """Horizontal and vertical stripes."""

    store_name = "stripes"
    num_classes = 2

    def fingerprint(self) -> dict:
        return {"version": 1}

    def decode(self, new: NewStore) -> Contents:
        stripes = np.tile(np.arange(8, dtype=np.uint8) % 2 * 255, (40, 3, 8, 1))
        stripes[::2] = stripes[::2].transpose(0, 1, 3, 2)
        new.put([f"stripes/{row}" for row in range(40)], stripes)
        return Contents(["horizontal", "vertical"], np.arange(40) % 2, {"train": range(30), "test": range(30, 40)})
'''


def test_new_dataset_is_one_file(
    sbn: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stripes.py").write_text(STRIPES)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    monkeypatch.setitem(sys.modules, f"{datasets.__name__}.stripes", None)  # to be forgotten again
    del sys.modules[f"{datasets.__name__}.stripes"]
    exec(Path(datasets.__file__).read_text(), vars(datasets))  # what an import in a new process does
    sbn("prepare", "--config", "digits_sbn", "--data", "Stripes", "--data.packed_dir", "packed")
    assert "30 train, 10 test; 2 classes" in capsys.readouterr().out
