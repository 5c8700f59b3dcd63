"""The model card: what a person must know to use an exported file, beside it as Markdown."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sbn_lightning.deploy.agreement import Agreement, Resized
from sbn_lightning.deploy.photos import Photos
from sbn_lightning.deploy.temperature import Temperature
from sbn_lightning.deploy.trained import Trained
from sbn_lightning.errors import counted, printable
from sbn_lightning.report.protocol import protocol
from sbn_lightning.report.render import escape_markdown, fill
from sbn_lightning.run.interval import interval_text
from sbn_lightning.run.records import Evaluation

Rows = list[tuple[str, str]]
FITTED = {
    "crop": "brought to this size with what lies outside the middle cut off",
    "squash": "brought to this size, also if that changes the aspect ratio",
    "letterbox": "brought to this size with black borders",
}
NEEDS = {
    "onnx": "It needs onnxruntime and Pillow, and no PyTorch: `pip install onnxruntime pillow`.",
    "torch": "It needs PyTorch and Pillow: `pip install torch pillow`.",
    "safetensors": "The file holds the weights alone: sbn-lightning, with its extra `export`, builds the network.",
}
OWN = "sbn_lightning.deploy"


@dataclass(frozen=True)
class Exported:
    """An exported file, and everything that is known of it.

    Attributes:
        file: Where it will lie.
        format: A key of formats.FORMATS.
        metadata: Those in the file.
    """

    file: Path
    format: str
    trained: Trained
    temperature: Temperature
    any_size: bool
    metadata: Mapping[str, str]
    photos: Photos
    agreement: Agreement


def script_of(file: Path, format: str, image_size: tuple[int, int], fit: str, any_size: bool) -> str:
    """Return the Python script that classifies a photo with an exported file beside it."""
    height, width = image_size
    values = {"format": format, "file": json.dumps(file.name), "fit": fit, "any_size": any_size}
    sizes = {"height": height, "width": width, "enough": 2 * max(height, width)}
    return fill("classify.py.j2", str, OWN, **values, **sizes).strip() + "\n"


def card(exported: Exported) -> str:
    """Return the card's text."""
    data = exported.trained.data
    return fill(
        "card.md.j2",
        escape_markdown,
        OWN,
        title=printable(exported.file.stem),
        file=printable(exported.file.name),
        classes=[printable(name) for name in data.class_names],
        needs=NEEDS[exported.format],
        script=script_of(exported.file, exported.format, data.image_size, data.fit, exported.any_size).strip(),
        interface=interface(exported),
        quality=quality(exported),
        check=check_text(exported.agreement, exported.photos),
        resized=resized_text(exported.agreement.resized, exported.photos),
        training=training(exported.trained),
        network=network(exported),
        origin=origin(exported),
    )


def interface(exported: Exported) -> Rows:
    """What goes in and what comes out."""
    data = exported.trained.data
    height, width = data.image_size
    if exported.any_size:
        shape = "(N, 3, H, W), any N, height and width"
        fitted = f"inside the model: to {height} × {width} pixels, {FITTED[data.fit]}"
    else:
        shape = f"(N, 3, {height}, {width}), any N"
        fitted = f"before: a photo of another size is {FITTED[data.fit]}, by Pillow with the filter BILINEAR"
    bits = f", of which {data.bits} bits are taken as the whole range" if data.bits else ""
    return [
        ("Input", f"`images`, unsigned 8-bit integers {shape}"),
        ("Channels", "red, green, blue; levels from 0 to 255, as in the photo: the model normalizes them itself"),
        ("Size", fitted),
        (
            "Photos",
            "upright as their EXIF data say; transparent parts white; sRGB" + (f"; 16-bit gray{bits}" if bits else ""),
        ),
        (
            "Output",
            f"`logits` and `probabilities`, 32-bit floats (N, {len(data.class_names)}), in the order of the classes",
        ),
        ("Temperature", exported.temperature.text),
    ]


def quality(exported: Exported) -> Rows:
    """Accuracy and calibration, as they were measured."""
    found = evaluation_of(exported)
    if found is None:
        advice = "sbn test measures it on the test set, and sbn evaluate on any images; export again afterwards"
        return [("Accuracy", f"not measured: the run's folder has no test of this checkpoint; {advice}")]
    where = f"{found.images:,} {'test' if found.stage == 'test' else 'held-out'} images"
    where += f", a part of {found.available:,}" if found.is_partial else ""
    share = f"{100 * found.correct / found.images:.1f} % ({interval_text(found.correct, found.images)})"
    rows = [("Accuracy", f"{share}: {found.correct:,} right of {where}")]
    if (balanced := found.metrics.get("balanced_accuracy")) is not None:
        rows.append(("Balanced accuracy", f"{100 * balanced:.1f} %, the mean over the classes"))
    if (error := found.metrics.get("calibration_error")) is not None:
        text = f"expected calibration error {100 * error:.1f} % of the training's logits on the same images, 15 bins"
        if found.refitted:
            better = f"{100 * found.refitted.calibration_error:.1f} %"
            text += f"; a temperature that is fitted on other images than it is measured on would give {better}"
        if found.calibrated:
            text += f"; a perfectly calibrated model would show {100 * found.calibrated.calibration_error:.1f} %"
        rows.append(("Calibration", text))
    return rows


def evaluation_of(exported: Exported) -> Evaluation | None:
    """Return the recorded evaluation of the very checkpoint, of the test set and whole if there is such a one."""
    digest, data = exported.metadata["checkpoint_sha256"], exported.trained.data.fingerprint
    recorded = exported.trained.results.evaluations.values()
    found = [one for one in recorded if one.sha256 == digest and one.data in (None, data)]
    return min(found, key=lambda one: (one.stage != "test", one.is_partial), default=None)


def check_text(agreement: Agreement, photos: Photos) -> str:
    """How the file was compared with its checkpoint."""
    return (
        f"After it was written, it was loaded again and compared with the checkpoint on {photos.text}: the most "
        f"probable class is the same for all of them, and no probability differs by more than "
        f"{agreement.probability:.1e}."
    )


def resized_text(resized: Resized | None, photos: Photos) -> str:
    """How much resizing inside the model differs from Pillow; an empty text if there is none."""
    if resized is None:
        return ""
    pixels = (
        f"{100 * resized.share:.2g} % of the pixels differ, by {counted(resized.levels, 'level')} of 255 at most"
        if resized.share
        else "all pixels are the same"
    )
    changed = f"{resized.other_classes:,} of the images" if resized.other_classes else "no image"
    return (
        f"Resizing inside the model was compared with Pillow's, on {resized.images:,} {photos.originals_text}: "
        f"{pixels}; the largest difference of a probability is {resized.probability:.1e}, and the most probable class "
        f"of {changed} changes."
    )


def training(trained: Trained) -> Rows:
    """The data."""
    facts, data = trained.results.data, trained.data
    splits = facts.images if facts else data.images
    names = {"train": "training", "val": "held-out", "test": "test"}
    images = ", ".join(f"{count:,} {names.get(split, split)} images" for split, count in splits.items())
    rows = [("Images", images)]
    if facts:
        rows = [("Data", f"{facts.name}, {counted(len(data.class_names), 'class', 'es')}"), *rows]
        if (small := facts.smallest_class) and (large := facts.largest_class):
            sizes = f"from {small.training_images:,} to {large.training_images:,} training images in a class"
            rows.append(("Balance", sizes))
    rows.append(("Fingerprint", data.fingerprint))
    return rows


def network(exported: Exported) -> Rows:
    """Backbone, head, its equation, and how they were trained."""
    trained, results = exported.trained, exported.trained.results
    backbone, head = trained.classifier.backbone, trained.classifier.head
    weights = sum(parameter.numel() for parameter in trained.classifier.parameters())
    settings = results.model.head.settings if results.model else {}
    equation = (
        "logits = (W·e + b) / temperature with e = embed(backbone(x)), in which normalization, scale and running "
        "statistics of the head are folded into W and b; probabilities = softmax(logits)"
    )
    rows = [
        ("Backbone", f"{type(backbone).__name__}, {trained.classifier.head.num_features} features"),
        (
            "Head",
            ", ".join([head.title or type(head).__name__, *(f"{name} {value}" for name, value in settings.items())]),
        ),
        ("Inference", equation),
        ("Parameters", f"{weights:,} in training"),
    ]
    if results.data and results.model and results.training:
        rows.append(("Training", protocol(results.data, results.model.backbone, results.training, results.fit)))
    return rows


def origin(exported: Exported) -> Rows:
    """Versions, commit, dates and licence."""
    results, metadata = exported.trained.results, exported.metadata
    trained_with = ", ".join(f"{name} {version}" for name, version in results.versions.items() if version)
    ended = results.fit.ended if results.fit else None
    exported_with = f"sbn-lightning {metadata['sbn_lightning_version']}, torch {metadata['torch_version']}"
    rows = [
        ("Exported", f"on {datetime.now(timezone.utc):%Y-%m-%d} with {exported_with}"),
        ("Trained", " ".join(filter(None, [ended and f"on {ended[:10]}", trained_with and f"with {trained_with}"]))),
        ("Commit of the training", metadata["commit"]),
        ("Checkpoint", f"{exported.trained.checkpoint.name}, SHA-256 {metadata['checkpoint_sha256']}"),
        (
            "Licence of the weights",
            "not stated here: it depends on the images and pretrained weights that they were trained with, and is for "
            "those who trained them to say",
        ),
    ]
    return [(name, text) for name, text in rows if text]
