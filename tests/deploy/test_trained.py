"""Opening a trained model and the data of its run."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from sbn_lightning.deploy.trained import data_of, device_named, open_trained
from sbn_lightning.errors import UsageError


@pytest.fixture(scope="module")
def run(train_digits) -> Path:
    return train_digits()


def test_run_and_its_checkpoint_give_the_same_model(run: Path, tmp_path: Path) -> None:
    by_run, by_file = open_trained(run), open_trained(run / "checkpoints/last.ckpt")
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert not by_run.classifier.training
    assert torch.equal(by_run.classifier(images), by_file.classifier(images))
    assert by_run.run_dir == by_file.run_dir.resolve() == run
    assert by_run.results.fit == by_file.results.fit
    alone = tmp_path / "model.ckpt"
    alone.write_bytes((run / "checkpoints/last.ckpt").read_bytes())
    opened = open_trained(alone)
    assert torch.equal(opened.classifier(images), by_run.classifier(images))
    assert opened.run_dir is None
    assert opened.data.class_names == list("0123456789")


def test_data_of_a_run_are_those_it_was_trained_on(run: Path) -> None:
    data = data_of(run)
    assert data.digest == open_trained(run).data.fingerprint
    assert len(data.image_names("test")) == 360


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("digits_sbn", "digits_sbn is not trained yet; name the folder of a run"),
        ("runs/nothing", "there is no run in runs/nothing"),
        ("nothing.ckpt", "nothing.ckpt is a checkpoint|there is no"),
    ],
)
def test_what_is_no_run_is_refused(config: str, told: str, empty_folder: Path) -> None:
    with pytest.raises(UsageError, match=told):
        open_trained(Path(config))


def test_checkpoint_that_does_not_say_its_classes_is_refused(run: Path, tmp_path: Path) -> None:
    stored = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    del stored["trained_on"]
    torch.save(stored, tmp_path / "early.ckpt")
    with pytest.raises(UsageError, match="does not say which classes"):
        open_trained(tmp_path / "early.ckpt")


def test_checkpoint_with_images_of_no_pixels_is_refused(run: Path, tmp_path: Path) -> None:
    stored = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    stored["trained_on"]["image_size"] = (0, 8)
    torch.save(stored, tmp_path / "damaged.ckpt")
    with pytest.raises(UsageError, match="was not written by sbn fit, or is damaged"):
        open_trained(tmp_path / "damaged.ckpt")


def test_best_of_a_run_without_held_out_images_is_not_there(run: Path) -> None:
    with pytest.raises(UsageError, match=r"best\.ckpt"):
        open_trained(run, "best")


@pytest.mark.parametrize("name", ["tpu", "cuda:77", "gpu 1"])
def test_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="which this machine does not have"):
        device_named(name)


def test_precision_of_a_training_is_named_where_answers_are_in_float32(
    fit_digits, sbn, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit_digits("--trainer.precision", "bf16-mixed", "--trainer.max_epochs", "1")
    for command in ("predict", "evaluate"):
        sbn(command, "--config", run)
        assert "The training computed in bf16-mixed; the network now computes in float32" in capsys.readouterr().out


def test_own_classes_of_a_run_are_imported(fit_digits, empty_folder: Path) -> None:
    (empty_folder / "my_nets.py").write_text("from own_classes import PlainCNN\nclass MyNet(PlainCNN): pass\n")
    run = fit_digits("--model.backbone", "my_nets.MyNet", "--trainer.max_epochs", "1")
    assert type(open_trained(run).classifier.backbone).__name__ == "MyNet"


def test_own_class_among_the_settings_of_a_shipped_one_is_imported(
    fit_digits, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "my_heads.py").write_text("from own_classes import CosineHead\nclass MyHead(CosineHead): pass\n")
    head = ["--model.head", "CenterLossHead", "--model.head.head", "my_heads.MyHead"]
    run = fit_digits(*head, "--trainer.max_epochs", "1")
    monkeypatch.delitem(sys.modules, "my_heads")  # as in another process
    assert type(open_trained(run).classifier.head.head).__name__ == "MyHead"


def test_file_outside_a_run_does_not_take_a_config_nearby_for_its_own(run: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("- of another program\n")
    (tmp_path / "models").mkdir()
    shutil.copy(run / "checkpoints/last.ckpt", tmp_path / "models/digits.ckpt")
    assert open_trained(tmp_path / "models/digits.ckpt").run_dir is None


def test_file_from_elsewhere_has_not_the_record_of_the_run_whose_data_it_is_used_with(
    run: Path, tmp_path: Path
) -> None:
    shutil.copy(run / "checkpoints/last.ckpt", tmp_path)
    opened = open_trained(run, str(tmp_path / "last.ckpt"))
    assert (opened.run_dir, opened.is_of_run, opened.results.fit) == (run, False, None)
    assert open_trained(run).is_of_run


def test_data_that_are_gone_are_named_with_the_option_that_says_where_they_are(photo_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r" --root DIR") as told:
        data_of(photo_run, tmp_path)
    assert "--data.root" not in str(told.value)


def test_own_dataset_that_is_not_there_is_named(run: Path, tmp_path: Path) -> None:
    config = (run / "config.yaml").read_text().replace("sbn_lightning.Digits", "my_data.MyDigits")
    assert "my_data.MyDigits" in config
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(UsageError, match=r"names my_data\.MyDigits as data, which cannot be imported"):
        data_of(tmp_path)
