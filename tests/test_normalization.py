"""The model normalizes its images itself."""

from pathlib import Path

import pytest
import torch
from own_classes import PlainCNN

from sbn_lightning import Classifier, SmallCNN, SoftmaxHead
from sbn_lightning.errors import UsageError
from sbn_lightning.normalization import Normalization


def pixels(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def test_pixels_become_x_minus_mean_by_std_of_each_channel() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    normalized = Normalization((0.5, 0.2, 0.25), (0.25, 0.1, 0.5))(images)
    torch.testing.assert_close(normalized.flatten(), torch.tensor([-2.0, 0.0, 1.5]))


def test_channel_of_one_level_is_not_divided_by_zero() -> None:
    assert Normalization((0, 0, 0), (0, 0, 0))(pixels(2, 3, 4, 4)).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_images_that_are_no_pixels_are_refused(dtype: torch.dtype) -> None:
    model = Classifier(PlainCNN(), SoftmaxHead, 7)
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(UsageError, match=f"type {kind}; the model takes pixels from 0 to 255 of type uint8"):
        model(torch.zeros(2, 3, 8, 8, dtype=dtype))


def test_model_in_bfloat16_normalizes_in_float32() -> None:
    assert Normalization().to(torch.bfloat16)(pixels(2, 3, 4, 4)).dtype == torch.float32


def test_mean_and_std_can_be_given() -> None:
    model = Classifier(PlainCNN(), SoftmaxHead, 7, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert model.normalization.mean.flatten().tolist() == [127.5] * 3
    assert model.state_dict()["normalization.std"].flatten().tolist() == [63.75] * 3
    with pytest.raises(UsageError, match="give both, or neither"):
        Classifier(PlainCNN(), SoftmaxHead, 7, mean=(0.5, 0.5, 0.5))


def test_pretrained_backbone_decides_how_images_are_normalized() -> None:
    backbone = SmallCNN(4)
    backbone.normalization = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    model = Classifier(backbone, SoftmaxHead, 7)
    torch.testing.assert_close(model.normalization.mean.flatten(), 255 * torch.tensor([0.4, 0.5, 0.6]))


def test_checkpoint_of_a_version_whose_data_module_normalized_gives_the_same(train_digits, tmp_path: Path) -> None:
    run = train_digits()
    model = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").eval()
    stored = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    for name in ("normalization.mean", "normalization.std"):
        del stored["state_dict"][name]
    stored["run"]["data"] = stored.pop("trained_on")
    torch.save(stored, tmp_path / "older.ckpt")
    older = Classifier.load_from_checkpoint(tmp_path / "older.ckpt").eval()
    images = pixels(5, 3, 8, 8)
    assert torch.equal(older(images), model(images))
    assert older.trained_on == model.trained_on
    assert older.trained_on.class_names == list("0123456789")
