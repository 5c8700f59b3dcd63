"""Classifier.predict: images of any kind become class names and probabilities."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from sbn_lightning import Classifier, SmallCNN, SoftmaxHead
from sbn_lightning.data.decode import decode_image
from sbn_lightning.errors import UsageError
from sbn_lightning.run.identity import TrainedOn

NAMES = ["ant", "bee", "cat", "dog"]


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    model = Classifier(SmallCNN(4), SoftmaxHead, 4, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    model.trained_on = TrainedOn(NAMES, (12, 12), [0.5, 0.4, 0.3], [0.2] * 3, {"train": 9, "test": 3}, "abc")
    return model


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    levels = np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8)
    Image.fromarray(levels).resize((70, 45)).save(tmp_path / "a photo.png")
    return tmp_path / "a photo.png"


def test_each_kind_of_image_gives_what_its_pixels_give(model: Classifier, photo: Path) -> None:
    pixels = torch.from_numpy(decode_image(photo.read_bytes(), (12, 12), "crop").copy())
    with torch.no_grad():
        expected = model.eval()(pixels[None]).softmax(1)
    opened = Image.open(photo)
    array = np.asarray(Image.open(photo))
    kinds = [photo, str(photo), opened, array, torch.from_numpy(array.copy()).permute(2, 0, 1), pixels]
    names, probabilities = model.predict(kinds)
    torch.testing.assert_close(probabilities, expected.expand(6, 4))
    assert names == [NAMES[expected.argmax()]] * 6
    for one in kinds:
        torch.testing.assert_close(model.predict(one).probabilities, expected)


def test_many_images_are_classified_in_their_order_and_the_mode_stays(model: Classifier) -> None:
    images = torch.randint(0, 256, (9, 3, 12, 12), dtype=torch.uint8)
    model.train()
    predicted = model.predict(images, batch_size=4)
    assert model.training
    with torch.no_grad():
        expected = model.eval()(images).softmax(1)
    torch.testing.assert_close(predicted.probabilities, expected)
    torch.testing.assert_close(model.predict(images.permute(0, 2, 3, 1).numpy()).probabilities, expected)
    assert predicted.names == [NAMES[label] for label in expected.argmax(1)]


def test_features_give_the_logits_by_one_linear_layer(model: Classifier) -> None:
    images = torch.randint(0, 256, (5, 3, 12, 12), dtype=torch.uint8)
    features = model.features(images, batch_size=2)
    assert features.shape == (5, model.backbone.num_features)
    with torch.no_grad():
        logits = model.head.as_linear()(model.head.embed(features))
    torch.testing.assert_close(logits.softmax(1), model.predict(images).probabilities)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "there are no images"),
        ([np.zeros((5, 5), np.float32)], "image 0 has numbers of type float32; pixels are uint8"),
        ([np.zeros((5, 5, 4), np.uint8)], r"image 0 is an array of shape \(5, 5, 4\)"),
        ([torch.zeros(5, 5, 3, dtype=torch.uint8)], r"image 0 is a tensor of shape \(5, 5, 3\)"),
        ([Image.new("RGB", (1, 5))], "image 0 has 1 × 5 pixels"),
        ([7], "image 0 is of type int"),
        (7, "image 0 is of type int"),
        (None, "image 0 is of type NoneType"),
        (torch.zeros(3, 5, 5, dtype=torch.bfloat16), "image 0 has numbers of type bfloat16"),
        (["nowhere.jpg"], r"nowhere.jpg cannot be read \(No such file"),
    ],
)
def test_what_is_no_image_is_refused_with_its_name(model: Classifier, given: object, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        model.predict(given)


def test_text_file_is_named(model: Classifier, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(UsageError, match=r"notes\.jpg is not an image"):
        model.predict(tmp_path / "notes.jpg")


def test_model_that_does_not_know_its_classes_says_so() -> None:
    with pytest.raises(UsageError, match="does not know its classes and image size"):
        Classifier(SmallCNN(4), SoftmaxHead, 4).predict(np.zeros((5, 5), np.uint8))


def test_frozen_part_of_a_model_in_training_stays_in_evaluation_mode(model: Classifier) -> None:
    model.train()
    model.backbone.eval()
    model.predict(np.zeros((5, 5), np.uint8))
    assert model.training
    assert model.head.training
    assert not any(module.training for module in model.backbone.modules())


@pytest.mark.parametrize(("bits", "level"), [(None, 4_000), (None, 60_000), (14, 4_000)])
def test_16_bit_image_gives_the_same_as_its_file(
    model: Classifier, tmp_path: Path, bits: int | None, level: int
) -> None:
    model.trained_on = msgspec.structs.replace(model.trained_on, bits=bits)
    levels = np.linspace(0, level, 30 * 40).reshape(30, 40).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    of_file = model.predict(tmp_path / "deep.png").probabilities
    of_image = model.predict(Image.open(tmp_path / "deep.png")).probabilities
    assert torch.equal(of_image, of_file)
    assert torch.equal(model.predict(Image.fromarray(levels)).probabilities, of_file)


def test_model_that_answers_nan_is_refused(model: Classifier) -> None:
    with torch.no_grad():
        model.head.linear.weight.fill_(torch.nan)
    with pytest.raises(UsageError, match="the model answers NaN to image 0: its training went wrong"):
        model.predict(np.zeros((5, 5), np.uint8))


def test_batch_of_no_images_is_refused(model: Classifier) -> None:
    with pytest.raises(UsageError, match="batch_size is 0; it must be at least 1"):
        model.predict(np.zeros((5, 5), np.uint8), batch_size=0)
