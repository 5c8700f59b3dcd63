"""Every backbone and head in every format answers as the classifier does, for any number of images."""

import io
import json
import re
import sys
from pathlib import Path
from threading import Lock

import pytest
import torch
from small_models import HEADS, pixels, trained
from torch import Tensor

from sbn_lightning import (
    VGG16,
    Backbone,
    Classifier,
    DenseNetBC,
    Head,
    LSoftmaxVGG,
    ResNet18,
    ResNeXt29,
    SmallCNN,
    SoftmaxHead,
)
from sbn_lightning.deploy.export.fitted import Fitted
from sbn_lightning.deploy.export.formats import FORMATS, open_safetensors
from sbn_lightning.deploy.export.formats.base import Answering
from sbn_lightning.deploy.export.inference_model import InferenceModel
from sbn_lightning.errors import UsageError

GRAPHS = ["onnx", "torch"]
SETTINGS = {SmallCNN: {"width": 4}, ResNeXt29: {"cardinality": 2, "width": 4}, DenseNetBC: {"depth": 10}}
"""{backbone: what makes it small}."""


def metadata(classifier: Classifier, any_size: bool = False) -> dict[str, str]:
    """What opening a safetensors file needs."""
    backbone, head = type(classifier.backbone), type(classifier.head)
    model = {
        "backbone": {
            "class_path": f"{backbone.__module__}.{backbone.__name__}",
            "init_args": SETTINGS.get(backbone, {}),
        },
        "head": {"class_path": f"{head.__module__}.{head.__name__}"},
        "num_classes": 7,
    }
    fitting = {"image_size": [12, 12], "fit": "letterbox", "any_size": any_size}
    return {
        "class_names": json.dumps(['"a"\n', "鳥"]),
        "model": json.dumps(model),
        "preprocessing": json.dumps(fitting),
    }


def written(format: str, classifier: Classifier, file: Path, fitted: Fitted | None = None, side: int = 12) -> Answering:
    """Write a classifier's model, and read it again."""
    with file.open("wb") as stream:
        model = InferenceModel(classifier, fitted=fitted)
        FORMATS[format].write(model, (side, side), metadata(classifier, fitted is not None), stream)
    return FORMATS[format].read(file)


@torch.no_grad()
def check(answering: Answering, classifier: Classifier, side: int = 12) -> None:
    for count in (1, 2, 64 if side == 12 else 3):
        expected = classifier(pixels(count, side, side))
        answer = answering(pixels(count, side, side))
        torch.testing.assert_close(answer["logits"], expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(answer["probabilities"], expected.softmax(1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("format", FORMATS)
def test_every_head_answers_as_its_classifier(format: str, head: type[Head], tmp_path: Path) -> None:
    classifier = trained(head)
    check(written(format, classifier, tmp_path / "model"), classifier)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        *zip([ResNet18, VGG16, LSoftmaxVGG], HEADS[1:], strict=True),
        (ResNeXt29, SoftmaxHead),
        (DenseNetBC, SoftmaxHead),
    ],
)
def test_every_backbone_answers_as_its_classifier(
    format: str, backbone: type[Backbone], head: type[Head], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    classifier = Classifier(backbone(**SETTINGS.get(backbone, {})), head, 7)
    classifier(pixels(4, 32, 32))
    check(written(format, classifier.eval(), tmp_path / "model", side=32), classifier, side=32)


@pytest.mark.parametrize("format", FORMATS)
def test_images_of_any_size_are_resized_inside(format: str, tmp_path: Path) -> None:
    classifier, fitted = trained(), Fitted((12, 12), "letterbox")
    answering = written(format, classifier, tmp_path / "model", fitted)
    check(answering, classifier)
    for size in ((5, 40), (40, 5), (100, 90)):
        answer, expected = answering(pixels(2, *size)), classifier(fitted(pixels(2, *size)))
        torch.testing.assert_close(answer["logits"], expected, rtol=1e-3, atol=1e-4)


def test_onnx_names_its_inputs_outputs_and_classes_and_no_place_on_this_machine(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    written("onnx", trained(), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (images,) = session.get_inputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 3, 12, 12])
    assert [(out.name, out.shape) for out in session.get_outputs()] == [
        ("logits", ["batch", 7]), ("probabilities", ["batch", 7]),
    ]  # fmt: skip
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == ['"a"\n', "鳥"]
    content = (tmp_path / "model.onnx").read_bytes()
    assert not re.search(rb"\.py\b", content)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_program_holds_the_metadata_and_no_place_on_this_machine(tmp_path: Path) -> None:
    written("torch", trained(), tmp_path / "model.pt2")
    found = {"class_names": ""}
    torch.export.load(str(tmp_path / "model.pt2"), extra_files=found)
    assert json.loads(found["class_names"]) == ['"a"\n', "鳥"]
    assert not re.search(rb"File ", (tmp_path / "model.pt2").read_bytes())


class Choosy(Backbone):
    """Decides by pixels what it computes, which no graph can hold."""

    num_features = 3

    def forward(self, images: Tensor) -> Tensor:
        features = images.mean((2, 3))
        return features if features.sum() > 0 else -features


@pytest.mark.parametrize("part", ["backbone", "head"])
def test_model_that_cannot_be_copied_is_refused(part: str) -> None:
    classifier = Classifier(Choosy(), SoftmaxHead, 7).eval()
    getattr(classifier, part).lock = Lock()
    with pytest.raises(UsageError, match=r"(Choosy|SoftmaxHead) cannot be copied \(.*lock"):
        InferenceModel(classifier)


@pytest.mark.parametrize("format", GRAPHS)
def test_backbone_that_no_graph_can_hold_is_refused_with_a_way_out(format: str) -> None:
    model = InferenceModel(Classifier(Choosy(), SoftmaxHead, 7).eval())
    with pytest.raises(UsageError, match=r"cannot translate .* backbone Choosy to .*--format safetensors"):
        FORMATS[format].write(model, (12, 12), {}, io.BytesIO())


def test_weights_alone_hold_any_backbone(tmp_path: Path) -> None:
    classifier = Classifier(Choosy(), SoftmaxHead, 7).eval()
    check(written("safetensors", classifier, tmp_path / "model"), classifier)


def test_weights_of_more_than_onnx_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sbn_lightning.deploy.export.formats.onnx_file.LARGEST", 1000)
    with pytest.raises(UsageError, match=r"an ONNX file holds less than 2 GB; choose --format torch or"):
        FORMATS["onnx"].write(InferenceModel(trained()), (12, 12), {}, io.BytesIO())


@pytest.mark.parametrize(("format", "package"), [("onnx", "onnxscript"), ("safetensors", "safetensors")])
def test_missing_package_is_named_with_the_extra(format: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(UsageError, match=rf"needs {package}, not installed here; .*\.\[export\]"):
        FORMATS[format].check_packages()


@pytest.mark.parametrize("content", [b"", b"no such file", b"\xff" * 100])
def test_damaged_weights_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.safetensors was not written by sbn export"):
        open_safetensors(tmp_path / "x.safetensors")


def test_weights_that_name_other_code_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    given = metadata(trained())
    given["model"] = given["model"].replace("sbn_lightning.backbones.small_cnn.SmallCNN", "os.system")
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", given)
    with pytest.raises(UsageError, match="not an imported subclass of Backbone"):
        open_safetensors(tmp_path / "x.safetensors")
