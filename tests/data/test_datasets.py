"""What holds for every dataset."""

import inspect
import os
import random
import shutil
from argparse import ArgumentError
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from opened_data import Recorder, names, quiet_trainer
from small_datasets import DATASETS, Dataset
from torch import Tensor

from sbn_lightning.data import Digits, EvaluationLoader, FaceScrub, ImageDataModule, ImageFolder
from sbn_lightning.data.loader import Batch
from sbn_lightning.data.pack import Contents, NewStore
from sbn_lightning.data.store import open_store
from sbn_lightning.errors import UsageError

UNCHANGED = {"crop_padding": 0, "horizontal_flip": False}


@pytest.fixture(scope="module", params=DATASETS)
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    data_class, put_files = DATASETS[request.param]
    root = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        yield Dataset(data_class, root, put_files(root, patch))


def content(batches: Iterable[Batch]) -> Counter[tuple[bytes, int]]:
    """Every image with its label, in no order."""
    return sum((content_of(batch.images.numpy(), batch.labels.numpy()) for batch in batches), Counter())


def content_of(images: np.ndarray, labels: np.ndarray) -> Counter[tuple[bytes, int]]:
    return Counter((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def received(data: ImageDataModule, batches: Iterable[Batch]) -> Tensor:
    """The images that the model gets."""
    return torch.cat([data.on_after_batch_transfer(batch, 0)[0] for batch in batches])


# Batches.


def test_model_receives_float_images_and_labels_in_range(dataset: Dataset) -> None:
    data = dataset.ready(batch_size=12)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        images, labels = data.on_after_batch_transfer(next(iter(loader)), 0)
        assert images.shape == (12, *data.image_shape)
        assert images.shape[1] == 3
        assert images.dtype == torch.float32
        assert images.isfinite().all()
        assert labels.shape == (12,)
        assert labels.dtype == torch.int64
        assert 0 <= labels.min() <= labels.max() < data.num_classes


def test_images_are_normalized_by_mean_and_std_of_the_training_pixels(dataset: Dataset) -> None:
    data = dataset.ready(**UNCHANGED)
    images = received(data, data.train_dataloader()).double()
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3).double(), rtol=0, atol=1e-6)
    pixels = dataset.source["train"][0].astype(np.float64)
    mean, std = (moment.reshape(3, 1, 1) for moment in (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))))
    expected = torch.from_numpy((dataset.source["test"][0] - mean) / std)
    torch.testing.assert_close(received(data, data.test_dataloader()).double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_loaders_hold_every_image_of_the_source_once_with_its_label(dataset: Dataset, fraction: float) -> None:
    data = dataset.ready(batch_size=50, validation_fraction=fraction)
    train, test = content(data.train_dataloader()), content(data.test_dataloader())
    val = content(data.val_dataloader()) if fraction else Counter()
    assert train + val == content_of(*dataset.source["train"])
    assert content(data.predict_dataloader()) == test == content_of(*dataset.source["test"])
    assert Counter(data.num_images) == Counter(train=train.total(), val=val.total(), test=test.total())


@pytest.mark.parametrize("padding", [0, 2])
def test_training_images_only_are_cropped_and_flipped_before_they_are_normalized(
    dataset: Dataset, padding: int
) -> None:
    plain = dataset.ready(**UNCHANGED, validation_fraction=0.2)
    augmented = dataset.ready(crop_padding=padding, horizontal_flip=True, validation_fraction=0.2)
    assert augmented.augmentation is not None
    for batch in augmented.train_dataloader():
        assert batch.draws is not None
        cropped = Batch(augmented.augmentation(batch.images, batch.draws), batch.labels, None)
        assert torch.equal(received(augmented, [batch]), received(plain, [cropped]))
        assert not torch.equal(cropped.images, batch.images)
    for loader in (augmented.val_dataloader(), augmented.test_dataloader(), augmented.predict_dataloader()):
        assert all(batch.draws is None for batch in loader)


def test_seed_decides_the_training_batches(dataset: Dataset) -> None:
    all_data = [dataset.ready(seed=seed, crop_padding=1) for seed in (3, 3, 4)]
    first, again, other = (received(data, data.train_dataloader()) for data in all_data)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_processes_share_each_batch(dataset: Dataset) -> None:
    alone, *shares = (dataset.ready(batch_size=50) for _ in range(3))
    for rank, data in enumerate(shares):
        on_cpu = SimpleNamespace(root_device=torch.device("cpu"))
        settings = {"overfit_batches": 0, "limit_test_batches": 1.0, "strategy": on_cpu}
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2, **settings)
    for whole, *parts in zip(*(data.train_dataloader() for data in (alone, *shares)), strict=True):
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    first, second = (content(data.test_dataloader()) for data in shares)
    assert first + second == content(alone.test_dataloader())
    assert abs(first.total() - second.total()) <= 1


# Classes.


def test_every_class_has_a_name_and_a_count(dataset: Dataset) -> None:
    data = dataset.ready()
    assert len(data.class_names) == len(set(data.class_names)) == data.num_classes == dataset.new().num_classes
    assert data.class_counts.tolist() == np.bincount(dataset.source["train"][1], minlength=data.num_classes).tolist()
    if dataset.data_class not in (FaceScrub, ImageFolder):  # the number is known without files, too
        assert dataset.new(root="nowhere").num_classes == data.num_classes


# Packing.


def test_second_start_reads_the_packed_images_only(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset.ready()
    monkeypatch.setattr(dataset.data_class, "decode", None)
    assert content(dataset.ready().train_dataloader()) == content_of(*dataset.source["train"])


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
    packed_again = received(data, data.train_dataloader())
    torch.testing.assert_close(packed_again.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-4)


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


# Validation.


def test_hold_out_is_stratified_and_the_same_for_every_seed(dataset: Dataset) -> None:
    everything = dataset.ready()
    data = dataset.ready(validation_fraction=0.2)
    assert data.validation_stage == "val"
    assert data.num_images["val"] == -(-everything.num_images["train"] // 5)
    held_out = everything.class_counts - data.class_counts
    assert (held_out - everything.class_counts / 5).abs().max() < 1
    other = dataset.ready(validation_fraction=0.2, seed=1, test_each_epoch=False)
    assert content(other.val_dataloader()) == content(data.val_dataloader())


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")  # where nothing is watched
@pytest.mark.parametrize(
    ("options", "stage", "loader"),
    [
        ({"validation_fraction": 0.2}, "val", "val"),
        ({"test_each_epoch": True}, "test_each_epoch", "test"),
        ({"test_each_epoch": False}, None, None),
    ],
)
def test_trainer_watches_held_out_images_or_the_test_set_or_nothing(
    dataset: Dataset, options: dict, stage: str | None, loader: str | None
) -> None:
    recorder, data, trainer = Recorder(), dataset.new(**options), quiet_trainer()
    trainer.fit(recorder, datamodule=data)
    trainer.test(recorder, datamodule=data, verbose=False)
    assert data.validation_stage == stage
    assert isinstance(data.val_dataloader(), EvaluationLoader) == (loader is not None)
    seen: Counter[str] = Counter()
    for name, _, labels in recorder.batches:
        seen[name] += len(labels)
    watched = data.num_images[loader] if loader else 0
    assert seen == Counter(train=2 * data.num_images["train"], val=2 * watched, test=data.num_images["test"])


def test_validating_without_validation_images_says_what_to_do(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=r"no validation images, since validation_fraction is 0; use `sbn test`, or"):
        quiet_trainer().validate(Recorder(), datamodule=dataset.new(), verbose=False)


# Options, and new datasets.

OUT_OF_RANGE = [
    *[("validation_fraction", value) for value in (-0.1, 1.0, float("nan"))],
    *[("batch_size", 1), ("batch_size", -4), ("crop_padding", -1)],
]


@pytest.mark.parametrize(("argument", "value"), OUT_OF_RANGE)
def test_argument_out_of_its_range_is_refused(argument: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{argument} is {value}; "):
        Digits(**{argument: value})


def test_too_small_a_hold_out_names_the_fraction_and_the_class(tmp_path: Path) -> None:
    data = Digits(root=str(tmp_path), validation_fraction=1e-4)
    data.prepare_data()
    with pytest.raises(
        UsageError,
        match=r"fraction 0\.0001 does not divide the 139 training images of class '8' .* share from 0\.00719",
    ):
        data.setup("fit")


@pytest.mark.parametrize("name", ["CIFAR100", "Digits", "FaceScrub", "ImageFolder", "TinyImageNet"])
def test_options_of_all_datasets_are_documented_checked_and_set(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    common = set(inspect.signature(ImageDataModule).parameters) - {"download"}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=int, default=3)
    parser.add_subclass_arguments(ImageDataModule, "data")
    parser.link_arguments("seed_everything", "data.init_args.seed")
    config = parser.parse_args(["--data", name, "--data.batch_size", "64"])
    assert common - set(config.data.init_args.keys()) == set()
    data = parser.instantiate(config).data
    assert (data.batch_size, data.seed) == (64, 3)
    with pytest.raises(ArgumentError, match="'batchsize' is not accepted"):
        parser.parse_args(["--data", name, "--data.batchsize", "64"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--data.help", name])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f"--data.{option} " in text for option in common)
    assert "Images in a batch, over all devices." in text
