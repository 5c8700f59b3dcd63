"""The model card: what a person must know to use an exported file, beside it as Markdown."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sbn_lightning.deploy.export.agreement import Agreement, Resized
from sbn_lightning.deploy.export.card_facts import Rows, network, origin, quality, training
from sbn_lightning.deploy.export.photos import Photos
from sbn_lightning.deploy.export.temperature import Temperature
from sbn_lightning.deploy.trained import Trained
from sbn_lightning.errors import counted, printable
from sbn_lightning.report.render import escape_markdown, fill

FITTED = {
    "crop": "what lies outside its middle is cut off",
    "squash": "its aspect ratio may change",
    "letterbox": "it gets black borders",
}
NEEDS = {
    "onnx": "It needs onnxruntime and Pillow, and no PyTorch: `pip install onnxruntime pillow`.",
    "torch": "It needs PyTorch and Pillow: `pip install torch pillow`.",
    "safetensors": "The file holds the weights alone: sbn-lightning, with its extra `export`, builds the network.",
}
OWN = "sbn_lightning.deploy.export"
SCRIPT = "classify.py"
"""What the card calls its script."""


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
        script_name=SCRIPT,
        script=script_of(exported.file, exported.format, data.image_size, data.fit, exported.any_size).strip(),
        interface=interface(exported),
        quality=quality(exported.trained, exported.metadata["checkpoint_sha256"]),
        check=check_text(exported.agreement, exported.photos),
        resized=resized_text(exported.agreement.resized, exported.photos),
        remarks=exported.trained.remarks(),
        training=training(exported.trained),
        network=network(exported.trained),
        origin=origin(exported.trained, exported.metadata),
    )


def interface(exported: Exported) -> Rows:
    """What goes in and what comes out."""
    data = exported.trained.data
    height, width = data.image_size
    if exported.any_size:
        shape = "(N, 3, H, W), any N, height and width"
        fitted = f"the model resizes a photo to {height} × {width} pixels itself; {FITTED[data.fit]}"
    else:
        shape = f"(N, 3, {height}, {width}), any N"
        fitted = f"a photo of another size is resized before, by Pillow with the filter BILINEAR; {FITTED[data.fit]}"
    bits = f", of which {data.bits} bits are taken as the whole range" if data.bits else ""
    return [
        ("Input", f"`images`, unsigned 8-bit integers {shape}"),
        ("Channels", "red, green, blue; levels from 0 to 255, as in the photo: the model normalizes them itself"),
        ("Size", fitted),
        (
            "Photos",
            "upright as their EXIF data say, in sRGB, transparent parts white"
            + (f"; 16-bit gray{bits}" if bits else ""),
        ),
        (
            "Output",
            f"`logits` and `probabilities`, 32-bit floats (N, {len(data.class_names)}), in the order of the classes",
        ),
        ("Temperature", exported.temperature.text),
    ]


def check_text(agreement: Agreement, photos: Photos) -> str:
    """How the file was compared with its checkpoint."""
    return (
        f"The file was loaded again and compared with the checkpoint on {photos.text}: the most probable class of each "
        f"is the same, and no probability differs by more than {agreement.probability:.1e}."
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
        f"{pixels}; no probability differs by more than {resized.probability:.1e}, and the most probable class of "
        f"{changed} changes."
    )
