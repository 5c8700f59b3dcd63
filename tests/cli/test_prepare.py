"""`sbn prepare`: packs the data of a config."""

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_images import put_classes

Sbn = Callable[..., None]


def test_prepare_packs_the_data_of_a_config_and_says_what_is_there(
    sbn: Sbn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for _ in range(2):
        sbn("prepare", "--config", "digits_sbn", "--data.packed_dir", "packed", "--trainer.devices", 1000)
        out, err = capsys.readouterr()
        assert err == ""  # nothing of seeds
        said.append(out)
    assert said[0].startswith("Packing     Digits into packed/digits: 1,797 images, 346 kB on the disk; ")
    assert said[0].endswith(f"\n{said[1]}")
    assert said[1].startswith("Packed      Digits, in packed/digits\n")
    assert "1,437 train, 360 test; 10 classes, 8 × 8 pixels, 346 kB\n" in said[1]
    assert "smallest class 8 (139 training images), largest 1 (146)\n" in said[1]
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_what_is_left_out_is_not_counted_as_images(
    sbn: Sbn, answer: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_classes(tmp_path / "photos", {"cat": 12, "dog": 12})
    for number in range(8):
        (tmp_path / f"photos/cat/{number}.HEIC").write_bytes(b"not read")
    for _ in range(2):
        sbn("prepare", "--config", "image_folder_sbn", "--data.root", "photos")
        said = capsys.readouterr()
        assert "Left out    see 'skipped' in photos/.packed/image_folder_photos" in said.out
        assert said.err == ""


def test_prepare_takes_the_config_of_a_run(fit_digits: Callable[..., Path], sbn: Sbn) -> None:
    sbn("prepare", "--config", fit_digits("--trainer.max_epochs", "1") / "config.yaml")


def test_prepare_refuses_what_fit_refuses(answer: Callable[..., str]) -> None:
    assert "'batch_size'?" in answer("prepare", "--config", "digits_sbn", "--data.batchsize", "1")
    assert "null is not a number" in answer("prepare", "--config", "digits_sbn", "--model.head.scale", "null")
    Path("a.yaml").write_text("modle: {head: SoftmaxHead}")
    assert "a.yaml, line 1: there is no key 'modle'" in answer(
        "prepare", "--config", "digits_sbn", "--config", "a.yaml"
    )
    Path("b.yaml").write_text("trainer: {max_epohcs: 3}")
    assert "did you mean 'trainer.max_epochs'?" in answer("prepare", "--config", "digits_sbn", "--config", "b.yaml")
