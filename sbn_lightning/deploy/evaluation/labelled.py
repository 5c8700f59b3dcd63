"""Labelled images by which networks are judged: a split of a run's data, or a folder with a folder for each class."""

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sbn_lightning.data.folders import FolderReader
from sbn_lightning.data.levels import decode_alone
from sbn_lightning.data.listing import class_name, has_image_suffix, split_of
from sbn_lightning.data.sources import BadImage, FolderSource
from sbn_lightning.deploy.evaluation.answering import Answered, answers_to
from sbn_lightning.deploy.images import ImageBatch, ImageFiles, ReadBatch, SplitOfRun
from sbn_lightning.deploy.inference import usual_batch_size
from sbn_lightning.deploy.prediction.command import test_data
from sbn_lightning.deploy.seen_images import MAY_BE_SEEN, may_be_seen
from sbn_lightning.deploy.trained import Trained
from sbn_lightning.errors import UsageError, counted, named, printable

Split = Literal["test", "val"]
SPLITS = {"test": "test set", "val": "validation set"}
WHAT = "Evaluating"


class LabelledImages(Protocol):
    """Images that a network is judged by.

    Attributes:
        name: For people.
        fingerprint: Tells the data from others; None if they have none.
        remarks: What people must know of them, as sentences.
    """

    name: str
    fingerprint: str | None
    remarks: list[str]

    def answered(self) -> Answered:
        """Return the network's answers."""

    def held_out(self) -> Answered | None:
        """Return its answers to other images that it was not trained on; None if there are none."""

    def pixels(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Return images (n, 3, H, W) by their places among those that are answered."""


class RunImages:
    """A split of the data of a network's run; see LabelledImages.

    Args:
        trained: The network.
        split: `test` or `val`.
        root: The folder of the data, if it has moved.
    """

    def __init__(self, trained: Trained, split: Split, root: Path | None) -> None:
        self.trained, self.data, self.split = trained, test_data(trained, root), split
        if split not in self.data.num_images:
            raise UsageError(
                f"the run {trained.run_dir} has no validation images, since its data.validation_fraction is 0; leave "
                "out --split val, or name a folder with --images DIR"
            )
        self.name = f"the {SPLITS[split]} of {type(self.data).__name__}"
        self.fingerprint: str | None = self.data.digest
        other = trained.data.other_images_in(self.data.identity())
        self.remarks = [f"These are not the images of the run: {other}."] if other else []
        if split == "val" and trained.checkpoint.stem == "best":
            self.remarks.append("best.ckpt was chosen by its accuracy on these images, which therefore is too high.")

    def answered(self) -> Answered:
        """See LabelledImages."""
        return self._answers_to(self.split, WHAT)

    def held_out(self) -> Answered | None:
        """See LabelledImages."""
        has_others = self.split == "test" and "val" in self.data.num_images
        return self._answers_to("val", "Held out") if has_others else None

    def _answers_to(self, split: Split, what: str) -> Answered:
        size = self.data.evaluation_batch_size or self.data.batch_size  # a head's loss may depend on it
        return answers_to(self.trained, SplitOfRun(self.data, split).batches(size), self.data.num_images[split], what)

    def pixels(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """See LabelledImages."""
        return self.data.stored_images(self.split, torch.tensor(rows)).numpy()


class FolderImages:
    """A folder with a folder for each class; see LabelledImages.

    Images of classes that the network does not know are left out, and counted: it cannot be right about them.

    Args:
        trained: The network.
        folder: The folder.
        class_names: Classes that are known; those of the network, or fewer.

    Raises:
        UsageError: If no image in it lies in a folder that is called like a class.
    """

    fingerprint: str | None = None

    def __init__(self, trained: Trained, folder: Path, class_names: Sequence[str]) -> None:
        if not folder.is_dir():
            raise UsageError(f"--images {folder} is not a folder; name one that contains a folder for each class")
        self.trained, self.folder, self.name = trained, folder, printable(str(folder))
        known, unknown, loose = folders_with_images(folder, class_names)
        splits = sorted(filter(split_of, unknown))
        if not known and splits:
            one = folder / splits[-1]
            raise UsageError(f"{folder} contains {named(splits)}; name one of them: --images {one}")
        if not known:
            raise UsageError(
                f"no image in {folder} lies in a folder that is called like one of the classes ({named(class_names)}), "
                "so that it is not known what they show; sbn predict needs no labels"
            )
        self.files = ImageFiles([str(folder / name) for name in known], trained.data)
        self.label_of = {name: label for label, name in enumerate(trained.data.class_names)}
        self.paths: list[str] = []  # of the images that are answered
        self.remarks = [MAY_BE_SEEN] if may_be_seen(trained, [folder]) else []
        if unknown:
            images, classes = sum(unknown.values()), counted(len(unknown), "folder")
            self.remarks.append(
                f"{counted(images, 'image')} in {classes} that no class is called like ({printable(named(unknown))}) "
                f"{'is' if images == 1 else 'are'} left out: no answer could be right."
            )
        if loose:
            verb = "lies in no class's folder, and is" if loose == 1 else "lie in no class's folder, and are"
            self.remarks.append(f"{counted(loose, 'image')} {verb} left out.")

    def answered(self) -> Answered:
        """See LabelledImages."""
        size = usual_batch_size(self.trained, self.files.count)
        batches = (partial(self._with_labels, read) for read in self.files.batches(size))
        found = answers_to(self.trained, batches, self.files.count, WHAT)
        self.paths = found.names
        errors = [error.removeprefix(f"{self.folder}{os.sep}") for error in found.errors]
        return Answered(found.answers, [self._place(path) for path in found.names], errors)

    def _with_labels(self, read: ReadBatch, left: Event) -> ImageBatch:
        """Read a batch, and take the class of each file from the top folder that it lies in."""
        batch = read(left)
        folders = (Path(name).relative_to(self.folder).parts[0] for name in batch.names)
        return batch._replace(labels=torch.tensor([self.label_of[class_name(folder)] for folder in folders]))

    def _place(self, path: str) -> str:
        return printable(Path(path).relative_to(self.folder).as_posix())

    def held_out(self) -> None:
        """See LabelledImages: the run's own data need not be there."""

    def pixels(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """See LabelledImages. The files are read again; one that is gone by now is black."""
        data = self.trained.data
        images = np.zeros((len(rows), 3, *data.image_size), np.uint8)
        for image, row in zip(images, rows, strict=True):
            with suppress(BadImage):
                content = FolderSource(Path()).read(self.paths[row])
                image[:] = decode_alone(content, data.image_size, data.fit, data.bits).pixels
        return images


def folders_with_images(folder: Path, class_names: Sequence[str]) -> tuple[dict[str, int], dict[str, int], int]:
    """Return the folders in a folder that hold images, with their number: those that are called like a class, and the
    others; and the number of images that lie in the folder itself."""
    known: dict[str, int] = {}
    unknown: dict[str, int] = {}
    loose = 0
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            loose += has_image_suffix(entry.name)
            continue
        images = sum(has_image_suffix(name) for read in FolderReader().below(entry.path) for name in read.files)
        if images:
            (known if class_name(entry.name) in class_names else unknown)[entry.name] = images
    return known, unknown, loose
