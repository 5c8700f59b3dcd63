"""FaceScrub, from whichever copy of it there is."""

import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.decode_files import OnBadImage
from sbn_lightning.data.listing import (
    ImageFile,
    class_name,
    digest,
    has_image_suffix,
    no_images,
    refuse_names_that_differ_in_case,
)
from sbn_lightning.data.pack import Contents, NewStore
from sbn_lightning.data.sources import READING, FolderSource
from sbn_lightning.data.splits import hash_split
from sbn_lightning.errors import UsageError

NUM_CLASSES = 361  # in the paper
IMAGE_SIZE = (64, 64)
TEST_FRACTION = 0.1
SPLIT_SEED = 0

# Where an identity's images lie, * being its name; the last one only where none of the others is there.
FOLDERS = ("actor_faces/*", "actress_faces/*", "actors/faces/*", "actresses/faces/*", "download/*/face")
FLAT_FOLDERS = "*"


def list_faces(root: Path) -> tuple[list[ImageFile], list[str]]:
    """The images under root, ordered by identity and file name: in the same order for each way of storing them; and a
    line about the files that are not read.

    An underscore in a folder's name is a space. A UsageError says if two folders' names differ only in case, or an
    identity has two images of the same name.
    """
    found = {folder: pattern for pattern in FOLDERS for folder in root.glob(pattern)}
    faces: list[ImageFile] = []
    others: list[str] = []
    for folder, pattern in (found or dict.fromkeys(root.glob(FLAT_FOLDERS), FLAT_FOLDERS)).items():
        path = folder.relative_to(root)
        identity = class_name(" ".join(path.parts[pattern.split("/").index("*")].replace("_", " ").split()))
        for file in folder.iterdir() if folder.is_dir() and not identity.startswith(".") else ():
            if has_image_suffix(file.name):
                group = f"{SPLIT_SEED}/{identity}/{file.name}"
                faces.append(ImageFile(f"{path.as_posix()}/{file.name}", identity, "", group))
            elif not file.name.startswith(".") and not file.is_dir():
                others.append(f"{path.as_posix()}/{file.name}")
    faces.sort(key=lambda face: (face.label, face.group, face.path))
    refuse_names_that_differ_in_case({face.label for face in faces})
    for face, following in pairwise(faces):
        if face.group == following.group:
            raise UsageError(
                f"{root / face.path} and {root / following.path} are both the image {Path(face.path).name} of "
                f"{face.label}: keep one of them"
            )
    return faces, no_images(others)


class FaceScrub(ImageDataModule):
    """FaceScrub (Ng and Winkler 2014): faces of actors and actresses, resized to 64 × 64 pixels.

    Copies of it differ in the images that could still be downloaded when they were made. The identities with at least
    min_images_per_class readable images are its classes: 361 in the paper, and a warning says if there are others. A
    tenth of each identity's images is the test set, chosen by a hash of the file names: the same on every machine.

    Reads any of `root/{actor,actress}_faces/<name>/*`, `root/{actors,actresses}/faces/<name>/*`,
    `root/download/<name>/face/*` and `root/<name>/*`. It cannot be downloaded.

    Args:
        min_images_per_class: Identities with fewer readable images are left out.
        on_bad_image: What happens if a file cannot be decoded: `skip` leaves it out and says so, `error` stops.
        options: Those of ImageDataModule.

    Raises:
        UsageError: If min_images_per_class is below 2.
    """

    fit = "squash"
    where_to_get_it = (
        f"it cannot be downloaded: name the folder that holds {', '.join(FOLDERS)} or <name>/* with --data.root DIR"
    )

    def __init__(self, *, min_images_per_class: int = 70, on_bad_image: OnBadImage = "skip", **options: Any) -> None:
        super().__init__(download=False, **options)
        if min_images_per_class < 2:
            raise UsageError(
                f"min_images_per_class is {min_images_per_class}; an identity needs 2 images, one of them for testing"
            )
        self.min_images_per_class = min_images_per_class
        self.on_bad_image = on_bad_image
        self.store_name = f"facescrub_{min_images_per_class}"

    def fingerprint(self) -> dict[str, Any] | None:
        faces, _ = list_faces(self.root)
        files = digest(self.root, (face.path for face in faces))
        return {"files": files, "on_bad_image": self.on_bad_image, "reading": READING} if faces else None

    def decode(self, new: NewStore) -> Contents:
        faces, not_read = list_faces(self.root)
        paths = [face.path for face in faces]
        readable = new.decode(FolderSource(self.root), paths, IMAGE_SIZE, self.fit, self.on_bad_image)

        counts = Counter(dict.fromkeys((face.label for face in faces), 0))
        counts.update(faces[row].label for row in np.flatnonzero(readable))
        class_names = sorted(name for name, count in counts.items() if count >= self.min_images_per_class)
        self._check_number(class_names, counts)
        left_out = not_read + [
            f"{name}: {counts[name]} readable images, {self.min_images_per_class} are needed"
            for name in sorted(counts.keys() - class_names)
        ]

        label_of = {name: label for label, name in enumerate(class_names)}
        labels = np.array([label_of.get(face.label, -1) for face in faces])
        rows = np.flatnonzero(readable & (labels >= 0))
        is_test = hash_split([faces[row].label for row in rows], [faces[row].group for row in rows], TEST_FRACTION)
        return Contents(class_names, labels, {"train": rows[~is_test], "test": rows[is_test]}, left_out)

    def _check_number(self, class_names: list[str], counts: Counter[str]) -> None:
        if len(class_names) < 2:
            largest = ", ".join(f"{name}: {count}" for name, count in counts.most_common(3))
            raise UsageError(
                f"{len(class_names)} of {len(counts)} identities in {self.root} have {self.min_images_per_class} "
                f"readable images (most: {largest}), but there must be two; set --data.min_images_per_class lower"
            )
        if len(class_names) != NUM_CLASSES:
            warnings.warn(
                f"this FaceScrub has {len(class_names)} identities with at least {self.min_images_per_class} readable "
                f"images ({len(counts) - len(class_names)} have fewer), not {NUM_CLASSES} as in the paper: "
                "accuracies will differ somewhat",
                stacklevel=2,
            )
