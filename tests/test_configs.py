"""Every shipped config, through the real command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from made_up_cifar100 import NUM_IMAGES, put_cifar100
from made_up_images import put_classes
from made_up_tiny_imagenet import tiny_imagenet_files, write_zip

from sbn_lightning.cli.trainer import TrainerCLI
from sbn_lightning.config_files import config_folder
from sbn_lightning.data.datasets import cifar100, facescrub

ALL = sorted(path.stem for path in config_folder().glob("*.yaml"))
CONFIGS = [name for name in ALL if name not in ("fast", "small")]  # which are given beside one of these


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, digits_root: Path) -> dict[str, list[Any]]:
    """{dataset: a folder with a few random images of each class, and the options that go with it}."""
    root = tmp_path_factory.mktemp("few_images")
    with pytest.MonkeyPatch.context() as patch:
        put_cifar100(root, patch)
    write_zip(root / "tiny-imagenet-200.zip", tiny_imagenet_files(200, 2, 1))
    put_classes(root / "faces", {f"identity {label}": 2 for label in range(100)})
    put_classes(root / "photos", {f"class {label}": 2 for label in range(10)})
    return {
        "digits": [digits_root],
        "cifar100": [root],
        "tiny_imagenet": [root],
        "facescrub": [root / "faces", "--data.min_images_per_class", 2],
        "image_folder": [root / "photos", "--data.image_size", 16],
    }


@pytest.fixture
def fit_few(
    sbn: Callable[..., None], data: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """`sbn fit` of a config on a few images: fit_few("digits_sbn", "--trainer.max_epochs", 1)."""
    monkeypatch.setattr(cifar100, "NUM_IMAGES", NUM_IMAGES)
    monkeypatch.setattr(facescrub, "NUM_CLASSES", 100)

    def fit(config: str, *options: Any) -> None:
        root = next(values for name, values in data.items() if config.startswith(name))
        sbn("fit", "--config", config, "--data.batch_size", 10, "--data.root", *root, *options)

    return fit


@pytest.mark.parametrize("config", CONFIGS)
def test_config_can_be_built(config: str, fit_few: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    monkeypatch.setattr(TrainerCLI, "run", lambda self: built.append(self.trainer))
    fit_few(config)
    assert built


@pytest.mark.parametrize("config", ["cifar100_sbn", "image_folder_softmax"])
def test_small_gives_the_small_net_and_a_schedule_that_fits(
    config: str, fit_few: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(TrainerCLI, "run", lambda self: built.append(self.config))
    fit_few(config, "--config", "small")
    (values,) = built
    assert values.model.backbone.class_path.endswith("SmallCNN")
    assert values.lr_scheduler.init_args.milestones == [15, 25]
    assert values.trainer.max_epochs == 30
    assert values.optimizer.init_args.lr == 0.02
    assert values.optimizer.init_args.weight_decay == 5e-4


SMALL = ["--model.backbone", "SmallCNN", "--model.backbone.width", 4]


@pytest.mark.parametrize(
    ("config", "backbone"),  # of each dataset one, of each head one
    [
        ("cifar100_sbn", []),
        ("tiny_imagenet_am_softmax", SMALL),
        ("facescrub_pedcc", SMALL),
        ("image_folder_softmax", SMALL),
        ("digits_sbn", []),
        ("digits_center_loss", []),
    ],
)
def test_config_trains_and_tests(
    config: str,
    backbone: list[Any],
    fit_few: Callable[..., None],
    sbn: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    quick = ["--trainer.max_epochs", 1, "--trainer.limit_train_batches", 2, "--trainer.log_every_n_steps", 1]
    quick += ["--trainer.limit_val_batches", 1, "--trainer.limit_test_batches", 1]
    fit_few(config, *quick, *backbone)
    sbn("test", "--config", f"runs/{config}/config.yaml")
    assert Path(f"runs/{config}/checkpoints/last.ckpt").is_file()
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning")]
    # Of this one epoch, and not, above all, of a scale that is too small.
    assert all("never reaches its milestones" in line for line in warnings)


@pytest.mark.parametrize("config", ALL)
def test_header_gives_the_command(config: str) -> None:
    comments = [line for line in (config_folder() / f"{config}.yaml").read_text().splitlines() if line[0] == "#"]
    assert any(f"--config {config}" in line and "sbn fit --config" in line for line in comments)


def paper_values(config: str) -> dict[str, Any]:
    """A config with its parts put in."""
    values = yaml.safe_load((config_folder() / f"{config}.yaml").read_text())
    for key in ("trainer", "optimizer", "lr_scheduler"):
        values[key] = yaml.safe_load((config_folder() / values[key]).read_text())
    return values


@pytest.mark.parametrize("config", [name for name in CONFIGS if not name.startswith("digits")])
def test_config_follows_the_papers_section_4(config: str) -> None:
    values = paper_values(config)
    assert values["model"]["backbone"] == "ResNet18"
    assert values["trainer"]["max_epochs"] == 100
    assert values["optimizer"] == {
        "class_path": "torch.optim.SGD",
        "init_args": {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4},
    }
    assert isinstance(values["data"], str)  # a class, whose defaults are batches of 128 and no hold-out
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    assert values["lr_scheduler"]["class_path"] == "torch.optim.lr_scheduler.MultiStepLR"
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, **values["lr_scheduler"]["init_args"])
    rates = []
    for _ in range(100):
        rates += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.1] * 30 + [0.01] * 30 + [0.001] * 30 + [0.0001] * 10)
