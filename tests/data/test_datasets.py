"""What holds for every dataset."""

import inspect
from argparse import ArgumentError
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contents import UNCHANGED, content, content_of, received
from jsonargparse import ArgumentParser
from opened_data import Recorder, quiet_trainer
from small_datasets import Dataset

from sbn_lightning.data import Digits, EvaluationLoader, FaceScrub, ImageDataModule, ImageFolder
from sbn_lightning.data.loader import Batch
from sbn_lightning.errors import UsageError
from sbn_lightning.normalization import Normalization

# Batches.


def test_model_receives_pixels_and_labels_in_range(dataset: Dataset) -> None:
    data = dataset.ready(batch_size=12)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        images, labels = data.on_after_batch_transfer(next(iter(loader)), 0)
        assert images.shape == (12, *data.image_shape)
        assert images.shape[1] == 3
        assert images.dtype == torch.uint8
        assert labels.shape == (12,)
        assert labels.dtype == torch.int64
        assert 0 <= labels.min() <= labels.max() < data.num_classes


def test_mean_and_std_are_those_of_the_training_pixels(dataset: Dataset) -> None:
    data = dataset.ready(**UNCHANGED)
    normalize = Normalization(data.identity().mean, data.identity().std)
    images = normalize(received(data, data.train_dataloader())).double()
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3).double(), rtol=0, atol=1e-6)
    pixels = dataset.source["train"][0].astype(np.float64)
    mean, std = (moment.reshape(3, 1, 1) for moment in (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))))
    expected = torch.from_numpy((dataset.source["test"][0] - mean) / std)
    torch.testing.assert_close(normalize(received(data, data.test_dataloader())).double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_loaders_hold_every_image_of_the_source_once_with_its_label(dataset: Dataset, fraction: float) -> None:
    data = dataset.ready(batch_size=50, validation_fraction=fraction)
    train, test = content(data.train_dataloader()), content(data.test_dataloader())
    val = content(data.val_dataloader()) if fraction else Counter()
    assert train + val == content_of(*dataset.source["train"])
    assert content(data.predict_dataloader()) == test == content_of(*dataset.source["test"])
    assert Counter(data.num_images) == Counter(train=train.total(), val=val.total(), test=test.total())


@pytest.mark.parametrize("padding", [0, 2])
def test_training_images_only_are_cropped_and_flipped(dataset: Dataset, padding: int) -> None:
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
