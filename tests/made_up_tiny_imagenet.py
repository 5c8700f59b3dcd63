"""A small Tiny ImageNet in the official layout."""

import io
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = "tiny-imagenet-200"
WNIDS = [f"n{7919 * label % 100_000_000:08}" for label in range(200, 0, -1)]  # in no sorted order


def jpeg(seed: int, mode: str = "RGB") -> bytes:
    """A random image of 64 × 64 pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((64, 64)).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


@lru_cache
def tiny_imagenet_files(num_classes: int, num_train: int, num_val: int) -> dict[str, bytes]:
    """Content of each file, by its name in the archive, so many images of each class; every tenth class is gray."""
    wnids = WNIDS[:num_classes]
    files = {"wnids.txt": "\n".join(wnids).encode() + b"\n"}
    # The first two classes share their first word; words.txt also names what is no class.
    words = ["n99999999\tno class of ours"] + [
        f"{wnid}\t{'crane' if label < 2 else f'word {label}'}, another word" for label, wnid in enumerate(wnids)
    ]
    files["words.txt"] = "\n".join(words).encode()
    for label, wnid in enumerate(wnids):
        for number in range(num_train):
            name = f"train/{wnid}/images/{wnid}_{number}.JPEG"
            files[name] = jpeg(num_train * label + number, "L" if label % 10 == 0 else "RGB")
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b"not read"
    shuffled = (np.random.default_rng(0).permutation(num_classes * num_val) % num_classes).tolist()
    files["val/val_annotations.txt"] = "".join(
        f"val_{number}.JPEG\t{wnids[label]}\t0\t0\t63\t63\n" for number, label in enumerate(shuffled)
    ).encode()
    for number in range(len(shuffled)):
        files[f"val/images/val_{number}.JPEG"] = jpeg(100_000 + number)
    files["test/images/test_0.JPEG"] = b"not read"
    return {f"{FOLDER}/{name}": content for name, content in files.items()}


def write_zip(file: Path, files: dict[str, bytes]) -> None:
    """The files as an archive."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def write_folder(root: Path, files: dict[str, bytes]) -> None:
    """The files as the archive unpacks to."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
