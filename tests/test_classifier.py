"""The classifier: its steps, its metrics and its checkpoints, without the command line."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from made_up_images import put_classes
from own_classes import PlainCNN
from torch.utils.data import DataLoader, TensorDataset

from sbn_lightning import AMSoftmaxHead, Classifier, ScaledBatchNormHead, SoftmaxHead
from sbn_lightning.data import ImageFolder
from sbn_lightning.errors import UsageError

N, C = 60, 7


@pytest.fixture
def batches() -> DataLoader:
    """Batches of 25, 25 and 10."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N, 3, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, C, (N,), generator=generator)
    return DataLoader(TensorDataset(images, labels), batch_size=25)


def trainer(**settings: object) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", enable_model_summary=False, **(quiet | settings))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_test_metrics_are_those_of_all_samples_together(batches: DataLoader) -> None:
    torch.manual_seed(0)
    model = Classifier(PlainCNN(), SoftmaxHead, C)
    (metrics,) = trainer().test(model, batches, verbose=False)

    images, labels = batches.dataset.tensors
    with torch.no_grad():
        logits = model(images)
    assert metrics["test/accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert metrics["test/loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)


class Steps(Classifier):
    """Keeps what training steps return."""

    def training_step(self, batch, batch_idx):
        self.outputs = super().training_step(batch, batch_idx)
        return self.outputs

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*no `val_dataloader`")
def test_training_step_returns_logits_without_margin_and_the_loss_with_it(batches: DataLoader) -> None:
    torch.manual_seed(0)
    model = Steps(PlainCNN(), lambda d, c: AMSoftmaxHead(d, c, scale=10.0, margin=0.5), C)
    trainer(max_epochs=1, limit_train_batches=1, log_every_n_steps=1).fit(model, batches)
    logits, labels = model.outputs["logits"], model.outputs["labels"]
    assert not logits.requires_grad
    assert logits.abs().max() <= 10.0001  # cosines times the scale
    held_back = logits - 10.0 * 0.5 * torch.nn.functional.one_hot(labels, C)
    assert model.outputs["loss"].item() == pytest.approx(torch.nn.functional.cross_entropy(held_back, labels).item())


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*no `val_dataloader`")
def test_checkpoint_of_a_model_built_in_python_holds_plain_data(batches: DataLoader, tmp_path: Path) -> None:
    model = Steps(PlainCNN(), ScaledBatchNormHead, C)
    fitted = trainer(max_epochs=1, log_every_n_steps=1)
    fitted.fit(model, batches)
    fitted.save_checkpoint(tmp_path / "last.ckpt")
    torch.load(tmp_path / "last.ckpt", weights_only=True)
    loaded = Classifier.load_from_checkpoint(
        tmp_path / "last.ckpt", backbone=PlainCNN(), head=ScaledBatchNormHead, num_classes=C
    )
    images = batches.dataset.tensors[0]
    torch.testing.assert_close(loaded.eval()(images), model.eval()(images), rtol=0, atol=0)


def test_loss_and_measures_are_of_logits_of_32_bits_whatever_the_models_precision() -> None:
    torch.manual_seed(0)
    model = Classifier(PlainCNN(), SoftmaxHead, C).to(torch.bfloat16)
    outputs = model.validation_step((torch.randint(0, 256, (N, 3, 8, 8), dtype=torch.uint8), torch.arange(N) % C), 0)
    expected = torch.nn.functional.cross_entropy(outputs["logits"], outputs["labels"])
    assert outputs["logits"].dtype == outputs["loss"].dtype == torch.float32
    assert torch.equal(outputs["loss"], expected)
    assert model.val_metrics.compute()["loss"] == pytest.approx(expected.item(), rel=1e-6)


class FineTuned(Classifier):
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def network(num_classes: int = 2) -> FineTuned:
    return FineTuned(PlainCNN(), SoftmaxHead, num_classes)


def photos_of(root: Path, *classes: str, first_seed: int) -> ImageFolder:
    put_classes(root, dict.fromkeys(classes, 10), first_seed)
    return ImageFolder(root=str(root), image_size=8, batch_size=6, crop_padding=0)


@pytest.fixture
def birds(tmp_path: Path) -> ImageFolder:
    return photos_of(tmp_path / "birds", "crow", "dove", first_seed=0)


@pytest.fixture
def trees(tmp_path: Path) -> ImageFolder:
    return photos_of(tmp_path / "trees", "fir", "oak", first_seed=100)


few = pytest.mark.filterwarnings("ignore:The number of training batches", "ignore:.*weights_only")


@few
def test_model_knows_the_classes_it_was_trained_on_last(birds: ImageFolder, trees: ImageFolder, tmp_path: Path) -> None:
    first = trainer(max_epochs=1)
    first.fit(model := network(), birds)
    first.save_checkpoint(tmp_path / "birds.ckpt")
    trainer().test(model, trees, verbose=False)
    assert model.trained_on.class_names == ["crow", "dove"]
    trainer(max_epochs=1).fit(model, trees)
    assert model.trained_on.class_names == ["fir", "oak"]
    continued = network()
    trainer(max_epochs=2).fit(continued, trees, ckpt_path=tmp_path / "birds.ckpt")
    assert continued.trained_on.class_names == ["fir", "oak"]
    for one in (model, continued):  # with the normalization that its weights belong to
        torch.testing.assert_close(
            one.normalization.mean.flatten(), 255 * torch.tensor(birds.manifest().mean), check_dtype=False
        )


@few
def test_images_of_a_test_do_not_decide_how_those_of_the_training_are_normalized(
    birds: ImageFolder, trees: ImageFolder
) -> None:
    trainer().test(model := network(), birds, verbose=False)
    trainer(max_epochs=1).fit(model, trees)
    mean = 255 * torch.tensor(trees.manifest().mean)
    torch.testing.assert_close(model.normalization.mean.flatten(), mean, check_dtype=False)


@pytest.mark.parametrize("outputs", [3, 7])
def test_data_of_another_number_of_classes_than_the_model_has_outputs_are_refused(
    outputs: int, trees: ImageFolder
) -> None:
    told = rf"{outputs} classes apart, and its data have 2 \('fir', 'oak'\); build the model with num_classes=2"
    with pytest.raises(UsageError, match=told):
        trainer(max_epochs=1).fit(network(outputs), trees)


def test_checkpoint_of_another_program_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    torch.save({"state_dict": {"fc.weight": torch.zeros(2)}}, tmp_path / "other.ckpt")
    with pytest.raises(UsageError, match=r"other\.ckpt does not say its backbone, head, num_classes: another program"):
        Classifier.load_from_checkpoint(tmp_path / "other.ckpt")
