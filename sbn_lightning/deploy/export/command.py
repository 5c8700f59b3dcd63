"""`sbn export`: a trained model leaves as one file, with a card that says what it is."""

import os
from pathlib import Path
from typing import Literal

from sbn_lightning.data import ImageDataModule
from sbn_lightning.deploy.export.agreement import agreement
from sbn_lightning.deploy.export.card import SCRIPT, Exported, card, check_text, resized_text
from sbn_lightning.deploy.export.fitted import Fitted
from sbn_lightning.deploy.export.formats import FORMATS
from sbn_lightning.deploy.export.formats.base import translated
from sbn_lightning.deploy.export.inference_model import InferenceModel
from sbn_lightning.deploy.export.metadata import metadata_of
from sbn_lightning.deploy.export.photos import Photos, named_photos, photos_of_run, random_photos
from sbn_lightning.deploy.export.temperature import CALIBRATED, Temperature, calibrated_temperature, given_temperature
from sbn_lightning.deploy.trained import Trained, data_of, open_trained
from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import sha256_of, whole_file
from sbn_lightning.terminal import show, unbroken


def export(
    *,
    config: Path | None = None,
    out: Path | None = None,
    format: Literal["onnx", "torch", "safetensors"] | None = None,
    ckpt_path: str = "last",
    temperature: str | None = None,
    resize: Literal["outside", "inside"] = "outside",
    images: list[str] | None = None,
    root: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write a trained model to one file, for programs that know nothing of its training.

    The file takes pixels (uint8, N x 3 x height x width) and gives logits and probabilities; the normalization is
    inside, and so are the names of the classes. It is loaded again and compared with the checkpoint on real images, and
    only then moved to its place, together with a model card: birds.onnx and birds.md.

    Args:
        config: The folder of a run, such as runs/birds, or a checkpoint file.
        out: The file to write: birds.onnx, birds.pt2 or birds.safetensors.
        format: onnx, torch (a program of torch.export) or safetensors (the weights alone); default: what the suffix of
            the file says.
        ckpt_path: The checkpoint of the run: last, best or a file.
        temperature: What the logits are divided by: `calibrated`, which is fitted on the run's held-out images, or else
            on its test set; or a number above 0. Default: nothing.
        resize: Whether images of any size are brought to the model's size before (outside), or by the model (inside).
        images: Files, folders, and patterns in quotes: photos to compare on; default: images of the run's test set.
        root: The folder of the run's data, if it has moved.
        overwrite: Replace a file that exists, and its card.

    Raises:
        UsageError: If the model, the file or a setting cannot be used, or the file would not answer as the checkpoint.
    """
    if config is None or out is None:
        raise UsageError("sbn export needs a run and a file: sbn export --config runs/birds --out birds.onnx")
    name = format_of(out, format)
    beside = out.with_suffix(".md")
    check_place(out, beside, overwrite)
    FORMATS[name].check_packages()
    asked = None if temperature in (None, CALIBRATED) else given_temperature(str(temperature))
    trained = open_trained(config, ckpt_path, "cpu")
    data = data_here(trained, root, is_needed=temperature == CALIBRATED or root is not None)
    any_size = resize == "inside"
    photos = photos_for(trained, data, images, any_size)
    if temperature == CALIBRATED:
        assert data is not None
        check_same_data(trained, data)
        asked = calibrated_temperature(trained.classifier, data)
    divided_by = asked or Temperature()

    fitted = Fitted(trained.data.image_size, trained.data.fit) if any_size else None
    model = InferenceModel(trained.classifier, divided_by.value, fitted)
    metadata = metadata_of(trained, divided_by.value, any_size, sha256_of(trained.checkpoint))
    with whole_file(out, "wb") as stream:
        FORMATS[name].write(model, trained.data.image_size, metadata, stream)
        stream.flush()
        with translated(model, FORMATS[name].title):
            answering = FORMATS[name].read(Path(stream.name))
        found = agreement(answering, trained.classifier, divided_by.value, photos, fitted)
        exported = Exported(out, name, trained, divided_by, any_size, metadata, photos, found)
        with whole_file(beside) as text:
            text.write(card(exported))
    rows = [("Checked", check_text(found, photos)), ("Resizing", resized_text(found.resized, photos))]
    notes = [("Note", remark) for remark in trained.remarks()]
    show(
        *[row for row in rows if row[1]],
        *notes,
        ("Written", f"{out} and its model card, {beside}"),
        ("Next", f"save the script in {beside} as {SCRIPT}: {unbroken(f'python {SCRIPT} PHOTO')}"),
    )


def format_of(out: Path, named: str | None) -> str:
    """Return the name of the format that the file's suffix stands for, which must be the one that is asked for."""
    suffixes = {kind.suffix: name for name, kind in FORMATS.items()}
    found = suffixes.get(out.suffix)
    if found is None or named not in (None, found):
        said = f"--format {named} writes {FORMATS[named].suffix} files" if named else f"use {', '.join(suffixes)}"
        raise UsageError(f"--out {out} ends in {out.suffix or 'no suffix'}; {said}")
    return found


def check_place(out: Path, beside: Path, overwrite: bool) -> None:
    """Refuse a place where the file cannot be written, before any work is done."""
    for file in (out, beside):
        if file.is_dir():
            raise UsageError(f"{file} is a folder; name a file with --out")
        if file.exists() and not overwrite:
            raise UsageError(f"{file} exists; replace it with --overwrite, or name another file with --out")
    folder = out.parent
    if not folder.is_dir():
        raise UsageError(f"the folder {folder} does not exist; create it, or name a file in another folder with --out")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"nothing may be written in the folder {folder}; name another file with --out")


def data_here(trained: Trained, root: Path | None, is_needed: bool) -> ImageDataModule | None:
    """Return the data of the run; None if they are not on this machine, and are not needed."""
    if trained.run_dir is None:
        if is_needed:
            raise UsageError(
                f"{trained.checkpoint} is a file without its run, whose data are needed here; name the run's folder "
                "with --config"
            )
        return None
    try:
        return data_of(trained.run_dir, root)
    except UsageError:
        if is_needed:
            raise
        return None


def photos_for(trained: Trained, data: ImageDataModule | None, images: list[str] | None, any_size: bool) -> Photos:
    """Return the images for the comparison: those that the user names, those of the test set, or random pixels."""
    if images:
        return named_photos(images, trained.data, any_size)
    if data is not None and data.image_shape[1:] == tuple(trained.data.image_size):
        return photos_of_run(data, trained.data, any_size)
    return random_photos(trained.data, any_size)


def check_same_data(trained: Trained, data: ImageDataModule) -> None:
    """Refuse to fit a temperature on other data than those of the training."""
    here = data.identity()
    if different := trained.data.other_in(here) or trained.data.other_images_in(here):
        text = different if isinstance(different, str) else "; ".join(different)
        raise UsageError(
            f"the data in {data.root} are not those of the training ({text}), so that no temperature can be fitted; "
            "name theirs with --root DIR, or give a number"
        )
