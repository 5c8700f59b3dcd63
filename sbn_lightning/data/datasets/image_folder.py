"""The user's own images: a folder for each class, or a CSV file."""

import hashlib
import json
import os
from collections import Counter
from typing import Any

from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.decode import Fit
from sbn_lightning.data.decode_files import OnBadImage
from sbn_lightning.data.label_file import list_label_file
from sbn_lightning.data.listing import SPLITS, ImageFile, digest, list_class_folders
from sbn_lightning.data.pack import Contents, NewStore
from sbn_lightning.data.sources import READING, FolderSource
from sbn_lightning.data.splits import assign_splits
from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import user_path

LONGEST = 150  # bytes of a folder's name in the store's name


class ImageFolder(ImageDataModule):
    """Images as JPEG, PNG, WebP, BMP, GIF, TIFF, PPM or AVIF files, square and all of one size once they are packed.

    They lie in one of three ways:

    - `root/train/<class>/*` with `root/test/<class>/*`, `root/val/<class>/*` or both. If there is only one of these, it
      is the test set; of both, `val` holds the validation images. These folders may be called Training, Testing, valid
      or validation, too, in any case.
    - `root/<class>/*`. A part of each class, chosen by a hash of the file names, is the test set.
    - Anywhere under root, listed in a CSV file with the columns `path` (from root) and `label`, and perhaps `split`
      (train, val or test) and `group`: images of one group (a patient, a video) are never divided between splits.

    Files are recognized as images by their suffixes, and decoded by what they contain; HEIC files are read if the
    package pillow-heif is installed. Links are followed; hidden files are left out. Two ways in which a system may
    compose é are one class; control characters in a class's name are shown as escapes.

    Args:
        image_size: Height and width to which images are brought, pixels.
        fit: How images of another shape get there: `crop` cuts off what lies outside the middle square, `squash`
            changes the aspect ratio, `letterbox` adds black borders.
        test_fraction: Share of each class's images for the test set where none is given, in (0, 1).
        csv: The CSV file, relative to root; None if the folders are the classes.
        on_bad_image: What happens if a file cannot be decoded: `error` stops, `skip` leaves it out and says so.
        options: Those of ImageDataModule.

    Raises:
        UsageError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        image_size: int = 64,
        fit: Fit = "crop",
        test_fraction: float = 0.1,
        csv: str | None = None,
        on_bad_image: OnBadImage = "error",
        **options: Any,
    ) -> None:
        super().__init__(download=False, **options)
        if image_size < 1:
            raise UsageError(f"image_size is {image_size}; it is a number of pixels and must be 1 or more")
        if not 0 < test_fraction < 1:
            raise UsageError(f"test_fraction is {test_fraction}; it is a share of the images in (0, 1)")
        self.image_size = image_size
        self.fit = fit
        self.test_fraction = test_fraction
        self.csv = self.root / user_path(csv) if csv is not None else None
        self.on_bad_image = on_bad_image
        # With a CSV file, images are held out when they are packed: only then is it known which belong to one group.
        self.packed_fraction = self.validation_fraction if csv is not None else 0.0
        file = self.csv and os.path.relpath(self.csv, self.root)
        settings = json.dumps([test_fraction, file, on_bad_image, self.packed_fraction])
        code = hashlib.sha256(settings.encode()).hexdigest()[:8]
        self.store_name = f"image_folder_{_short(self.root.resolve().name)}_{image_size}_{fit}_{code}"
        # Not self.root.is_dir(), which refuses a name that is too long.
        missing = "there are no folders of images" if os.path.isdir(self.root) else "that folder is not there"
        self.where_to_get_it = (
            f"{self.csv} is not there, or lists no images: name another file with --data.csv FILE"
            if csv is not None
            else f"{missing}: name the "
            "folder whose folders are the classes, or that holds train/<class> and test/<class>, with --data.root DIR; "
            "a trained model takes images without classes by sbn predict --config RUN --images DIR"
        )

    @property
    def has_validation_split(self) -> bool:
        return "val" in self.manifest().num_images

    def fingerprint(self) -> dict[str, Any] | None:
        files, _ = self._list()
        if not files:
            return None
        labels = hashlib.sha256(self.csv.read_bytes()).hexdigest() if self.csv is not None else None
        return {"files": digest(self.root, (file.path for file in files)), "csv": labels, "reading": READING}

    def decode(self, new: NewStore) -> Contents:
        files, ignored = self._list()
        files = assign_splits(files, self.test_fraction, self.packed_fraction)
        counts = Counter(file.label for file in files if file.split == "train")
        size = (self.image_size, self.image_size)
        paths = [file.path for file in files]
        readable = new.decode(FolderSource(self.root), paths, size, self.fit, self.on_bad_image)
        rows = {split: [row for row, file in enumerate(files) if file.split == split] for split in SPLITS}
        if unread := sorted(counts.keys() - {files[row].label for row in rows["train"] if readable[row]}):
            raise UsageError(
                f"no training image of {', '.join(map(repr, unread))} can be read: replace them, or remove the class"
            )
        label_of = {name: label for label, name in enumerate(sorted(counts))}
        labels = [label_of[file.label] for file in files]
        splits = {split: part for split, part in rows.items() if part}
        return Contents(list(label_of), labels, splits, ignored)

    def _list(self) -> tuple[list[ImageFile], list[str]]:
        """The images, and a line for what was ignored."""
        if self.csv is None:
            return list_class_folders(self.root)
        return (list_label_file(self.root, self.csv) if self.csv.is_file() else []), []


def _short(name: str) -> str:
    """A folder's name, cut off so that the store's name, made of it, is none that a system refuses."""
    return name if len(os.fsencode(name)) <= LONGEST else hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
