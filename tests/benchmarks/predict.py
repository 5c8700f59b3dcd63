"""`sbn predict` on JPEGs of Tiny ImageNet against a plain loop of Pillow and PyTorch, and the memory that it takes.

    python -m tests.benchmarks.predict FOLDER

is the process whose memory is measured; it prints the bytes at their peak.
"""

import csv
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sbn_lightning import Classifier, SmallCNN, SoftmaxHead
from sbn_lightning.deploy.images import ImageFiles
from sbn_lightning.deploy.prediction.command import write_predictions
from sbn_lightning.deploy.trained import Trained
from sbn_lightning.run.identity import TrainedOn
from sbn_lightning.run.records import Results
from tests.benchmarks.comparison import Comparison, Row, compare, timed
from tests.benchmarks.tiny_imagenet_files import put_archive

REPETITIONS = 5
FEW, MANY = 10_000, 100_000
LARGE, LARGE_SIZE = 300, (1600, 1200)
"""How many of the photos are enlarged, and to which width and height, as those of a phone are."""
CLASSES = 200
COMPARED = (("few", 8, 0), ("few", 8, 2), ("few", 32, 2), ("large", 8, 0), ("large", 8, 2))
"""The photos; the width of the net: the wider, the more both wait for it; and how many processes read the loop's
images, 0 in a plain loop."""
BATCH_SIZE = 64


def rows() -> Iterator[Row]:
    """The speed with a small net and with a usual one, for which both wait, and the memory over few and many files."""
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as folder:
        root = Path(folder)
        kind = put_photos(root)
        photos = {
            "few": f"{FEW:,} JPEGs of Tiny ImageNet ({kind})",
            "large": f"{LARGE} of them enlarged to {LARGE_SIZE[0]} × {LARGE_SIZE[1]}",
        }
        for name, width, workers in COMPARED:
            loop = f"a loop with a DataLoader of {workers} workers" if workers else "a plain loop of Pillow and PyTorch"
            what = f"`sbn predict`, {photos[name]}, SmallCNN of width {width}, against {loop}"
            yield comparison(root / name, width, workers).speed_row(what, "at least 2×" if workers == 0 else "")
        little, much = (peak_memory(root / name) for name in ("few", "many"))
        what = f"memory of `sbn predict` at its peak, {MANY:,} files beside {FEW:,}"
        times = f"{much / little:.3g}× the bytes"
        yield Row(what, f"{much / 1e6:.0f} MB", f"{little / 1e6:.0f} MB", times, "at most 1.05×")


def comparison(photos: Path, width: int, workers: int) -> Comparison:
    """Compare with a loop whose images are read by so many workers; the tables are written beside the photos."""
    trained, count = model(width), sum(1 for _ in photos.rglob("*.JPEG"))
    our_file, their_file = (photos.with_name(name) for name in ("ours.csv", "theirs.csv"))

    def ours() -> None:
        with redirect_stdout(None):
            write_predictions(trained, ImageFiles([str(photos)], trained.data), our_file)

    def theirs() -> None:
        plain_loop(trained.classifier, photos, their_file, trained.data.class_names, workers)

    return compare(timed(ours, count), timed(theirs, count), REPETITIONS)


def put_photos(root: Path) -> str:
    """Put `few`, `many` and `large` JPEGs into folders of these names; says whether they are "real" or "random"."""
    kind = put_archive(root)
    with zipfile.ZipFile(root / "tiny-imagenet-200.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".JPEG")]
        archive.extractall(root / "all", names)
    for folder, count in (("few", FEW), ("many", MANY)):
        for number in range(count):
            name = names[number % len(names)]
            place = root / folder / f"{number // 1000:03}" / f"{number:06}.JPEG"
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(root / "all" / name, place)
    (root / "large").mkdir()
    for number, name in enumerate(names[:LARGE]):
        with Image.open(root / "all" / name) as image:
            image.convert("RGB").resize(LARGE_SIZE).save(root / "large" / f"{number:06}.JPEG", quality=90)
    return kind


def model(width: int) -> Trained:
    """A network that was not trained, as it answers as fast as one that was."""
    torch.manual_seed(0)
    names = [f"class {number}" for number in range(CLASSES)]
    trained_on = TrainedOn(names, (64, 64), [0.48, 0.45, 0.40], [0.28, 0.27, 0.28], {}, "", "squash")
    moments = (0.48, 0.45, 0.40), (0.28, 0.27, 0.28)
    classifier = Classifier(SmallCNN(width), SoftmaxHead, CLASSES, mean=moments[0], std=moments[1]).eval()
    classifier.trained_on = trained_on
    return Trained(classifier, trained_on, Path("none.ckpt"), None, Results())


class Photos(Dataset[Tensor]):
    """What people write."""

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        image = Image.open(self.files[index]).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def plain_loop(classifier: Classifier, folder: Path, file: Path, class_names: list[str], workers: int) -> None:
    """Write the three most probable classes of each photo, as a careful person would in a few lines."""
    files = [str(path) for path in sorted(folder.rglob("*.JPEG"))]
    probabilities, classes = [], []
    with torch.inference_mode():
        for images in DataLoader(Photos(files), BATCH_SIZE, num_workers=workers):
            best = classifier(images).softmax(1).topk(3)
            probabilities += best.values.tolist()
            classes += best.indices.tolist()
    with open(file, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "predicted", "probability", "second", "", "third", ""])
        for path, shares, labels in zip(files, probabilities, classes, strict=True):
            pairs = zip(labels, shares, strict=True)
            writer.writerow([path, *(cell for label, share in pairs for cell in (class_names[label], f"{share:.6f}"))])


def peak_memory(folder: Path) -> int:
    """Return the bytes that a process takes for the photos in a folder at its peak."""
    command = [sys.executable, "-m", "tests.benchmarks.predict", str(folder)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure(folder: str) -> int:
    """Classify the photos in a folder, and return the bytes that this process has taken at its peak."""
    trained = model(width=8)
    with tempfile.TemporaryDirectory() as place, redirect_stdout(None):
        write_predictions(trained, ImageFiles([folder], trained.data), Path(place) / "a.csv")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    print(measure(sys.argv[1]))
