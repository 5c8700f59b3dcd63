"""Photos of 20 classes of Tiny ImageNet, where the environment variable SBN_TINY_IMAGENET_ZIP names a part of its
archive; elsewhere photos that are made up."""

import os
import zipfile
from collections import Counter
from pathlib import Path

from made_up_images import put_classes

FOLDER, CLASSES = "tiny-imagenet-200", 20
ZIP = "SBN_TINY_IMAGENET_ZIP"


def put_photos(known: Path, unseen: Path, each: int, each_unseen: int) -> None:
    """Write so many JPEGs of each class as known/<class>/<name>, and others as unseen/<class>/<name>."""
    if ZIP not in os.environ:
        put_classes(known, dict.fromkeys(("cat", "dog", "tree"), each), suffix=".jpg")
        put_classes(unseen, dict.fromkeys(("cat", "dog", "tree"), each_unseen), first_seed=10**6, suffix=".jpg")
        return
    with zipfile.ZipFile(os.environ[ZIP]) as archive:
        words = dict(line.split("\t", 1) for line in archive.read(f"{FOLDER}/words.txt").decode().splitlines())
        lines = archive.read(f"{FOLDER}/val/val_annotations.txt").decode().splitlines()
        of_validation = [(f"{FOLDER}/val/images/{name}", wnid) for name, wnid, *_ in map(str.split, lines)]
        images = [name for name in archive.namelist() if name.endswith(".JPEG") and "/train/" in name]
        of_training = [(name, name.split("/")[2]) for name in sorted(images)]
        classes = sorted({wnid for _, wnid in of_training})[:CLASSES]
        for folder, files, at_most in ((known, of_training, each), (unseen, of_validation, each_unseen)):
            written: Counter[str] = Counter()
            for name, wnid in files:
                if wnid in classes and written[wnid] < at_most:
                    file = folder / words[wnid].split(",")[0] / Path(name).name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(archive.read(name))
                    written[wnid] += 1
