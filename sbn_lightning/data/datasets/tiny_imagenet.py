"""Tiny ImageNet from its official archive."""

from collections import Counter
from typing import Any

from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.decode_files import OnBadImage
from sbn_lightning.data.download import download
from sbn_lightning.data.listing import digest, files_below
from sbn_lightning.data.pack import Contents, NewStore
from sbn_lightning.data.sources import READING, FolderSource, Source, ZipSource, read_text
from sbn_lightning.errors import UsageError, named

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
FOLDER = "tiny-imagenet-200"
GET_IT = f"put the official archive of {URL} there"


class TinyImageNet(ImageDataModule):
    """Tiny ImageNet (Stanford CS231n): 100,000 training images of 64 × 64 pixels in 200 classes.

    The 10,000 official validation images are the test set, since the official test set has no labels.

    Reads `root/tiny-imagenet-200.zip` as it is, without unpacking it, or the folder `root/tiny-imagenet-200/`. Labels
    follow the order of wnids.txt; a class is called by its first word in words.txt.

    Args:
        on_bad_image: What happens if a file cannot be decoded: `error` stops, `skip` leaves it out and says so.
        options: Those of ImageDataModule.
    """

    store_name = "tiny_imagenet"
    num_classes = 200
    fit = "squash"

    def __init__(self, *, on_bad_image: OnBadImage = "error", **options: Any) -> None:
        super().__init__(**options)
        self.on_bad_image = on_bad_image
        self.archive = self.root / f"{FOLDER}.zip"
        self.folder = self.root / FOLDER  # what the archive unpacks to; used if the archive is not there
        if (self.root / "wnids.txt").is_file():
            self.where_to_get_it = (
                f"{self.root}/wnids.txt shows that this is the folder {FOLDER} itself: give it that name, and name the "
                "one above it with --data.root DIR"
            )

    def fingerprint(self) -> dict[str, Any] | None:
        if self.archive.is_file():
            stat = self.archive.stat()
            return {"archive": [stat.st_size, stat.st_mtime_ns], "reading": READING}
        if self.folder.is_dir():
            return {"folder": digest(self.root, files_below(self.root, self.folder)[0]), "reading": READING}
        return None

    def fetch(self) -> None:
        """Download the official archive into root and verify its MD5."""
        download(URL, MD5, self.archive, f"download it elsewhere and put it into {self.root}")

    def decode(self, new: NewStore) -> Contents:
        source = ZipSource(self.archive) if self.archive.is_file() else FolderSource(self.root)
        if isinstance(source, ZipSource):
            names = source.archive.namelist()
        else:
            names, _ = files_below(self.root, self.folder)
        wnids = _read_text(source, "wnids.txt").split()
        if len(wnids) != self.num_classes:
            raise UsageError(f"{source.path}: wnids.txt names {len(wnids)} classes, not {self.num_classes}; {GET_IT}")
        label_of = {wnid: label for label, wnid in enumerate(wnids)}
        class_names = _class_names(wnids, _read_text(source, "words.txt"))
        train = _training_images(source, names, label_of)
        labels = train | _validation_images(source, names, label_of)
        new.decode(source, list(labels), (64, 64), self.fit, self.on_bad_image)
        rows = range(len(labels))
        splits = {"train": rows[: len(train)], "test": rows[len(train) :]}
        return Contents(class_names, list(labels.values()), splits)


def _read_text(source: Source, name: str) -> str:
    return read_text(source, f"{FOLDER}/{name}", GET_IT)


def _class_names(wnids: list[str], words: str) -> list[str]:
    """The first word of each class; where two classes share it, their wnids tell them apart."""
    words_of = dict(line.split("\t", 1) for line in words.splitlines() if "\t" in line)
    first = [words_of.get(wnid, wnid).split(",")[0].strip() for wnid in wnids]
    times = Counter(first)
    return [word if times[word] == 1 else f"{word} ({wnid})" for word, wnid in zip(first, wnids, strict=True)]


def _training_images(source: Source, names: list[str], label_of: dict[str, int]) -> dict[str, int]:
    """Label of each train/<wnid>/images/<file>, in the order of the names."""
    labels = {}
    for name in sorted(names):
        match name.split("/"):
            case [folder, "train", wnid, "images", file] if folder == FOLDER and file:
                if wnid not in label_of:
                    raise UsageError(f"{source.path}/{name} is of a class that wnids.txt does not name; {GET_IT}")
                labels[name] = label_of[wnid]
    present = set(labels.values())
    if empty := [wnid for wnid, label in label_of.items() if label not in present]:
        raise UsageError(f"{source.path} has no training images of {named(empty)}; {GET_IT}")
    return labels


def _validation_images(source: Source, names: list[str], label_of: dict[str, int]) -> dict[str, int]:
    """Label of each val/images/<file>, as val_annotations.txt tells it, in its order."""
    folder = f"{FOLDER}/val/images/"
    labels = {}
    for line in _read_text(source, "val/val_annotations.txt").splitlines():
        file, wnid = (*line.split("\t"), "")[:2]
        if wnid not in label_of:
            raise UsageError(f"{source.path}: val_annotations.txt names {wnid}, which wnids.txt does not; {GET_IT}")
        labels[folder + file] = label_of[wnid]
    present = {name for name in names if name.startswith(folder) and name != folder}
    for name in sorted(labels.keys() - present):
        raise UsageError(f"{source.path} lacks {name}, which val_annotations.txt names; {GET_IT}")
    for name in sorted(present - labels.keys()):
        raise UsageError(f"{source.path}/{name} is not named by val_annotations.txt; {GET_IT}")
    return labels
