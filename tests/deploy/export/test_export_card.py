"""What the model card and the file say of the model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbn_lightning import Classifier
from sbn_lightning.deploy.export.formats import FORMATS


def test_card_shows_odd_class_names_and_file_holds_them(run: Path, exported: Path) -> None:
    import onnxruntime

    stored = onnxruntime.InferenceSession(exported / "birds.onnx").get_modelmeta().custom_metadata_map
    trained_on = Classifier.load_from_checkpoint(run / "checkpoints/last.ckpt").trained_on
    assert trained_on is not None
    assert json.loads(stored["class_names"]) == trained_on.class_names
    assert {"птица", 'a "quoted" name'} < set(trained_on.class_names)
    text = (exported / "birds.md").read_text(encoding="utf-8")
    assert r"two\\nlines \| \*and\* \<b\>" in text
    assert "птица" in text


def test_card_tells_accuracy_data_check_versions_and_no_place_on_this_machine(run: Path, exported: Path) -> None:
    text = (exported / "birds.md").read_text(encoding="utf-8")
    results = json.loads((run / "results.json").read_text())
    test = results["evaluations"]["test"]
    assert f"{test['correct']} right of {test['images']} test images" in text
    assert f"compared with the checkpoint on the {test['images']} test images" in text
    assert f"Commit of the training:** {results['commit']}" in text or not results["commit"]
    assert "not stated here" in text
    assert str(run.parent) not in text


def test_temperature_is_fitted_on_held_out_images_and_said(digits: Path, sbn: Callable[..., None]) -> None:
    sbn("export", "--config", digits, "--out", "a.onnx")
    sbn("export", "--config", digits, "--out", "b.onnx", "--temperature", "calibrated")
    text = Path("b.md").read_text(encoding="utf-8")
    assert "fitted on the 144 held-out images" in text
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    plain, cooled = (FORMATS["onnx"].read(Path(name))(images)["logits"] for name in ("a.onnx", "b.onnx"))
    factor = (plain / cooled).flatten()
    torch.testing.assert_close(factor, factor[:1].expand(40), rtol=1e-3, atol=1e-3)
    assert f"{factor[0]:.2f}"[:3] in text


def test_test_set_is_named_where_nothing_was_held_out(
    train_digits: Callable[..., Path], sbn: Callable[..., None]
) -> None:
    sbn("export", "--config", train_digits(), "--out", "a.safetensors", "--temperature", "calibrated")
    assert (
        "test images; a calibration error of this file on the same images is too favourable" in Path("a.md").read_text()
    )


def test_precision_of_the_training_is_said_in_card_and_output(
    fit_digits: Callable[..., Path], sbn: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit_digits("--trainer.precision", "bf16-mixed", "--trainer.max_epochs", "1")
    sbn("export", "--config", run, "--out", "a.safetensors")
    told = "The training computed in bf16-mixed; the network now computes in float32"
    assert told in capsys.readouterr().out
    assert told in Path("a.md").read_text(encoding="utf-8").replace("\\", "")
