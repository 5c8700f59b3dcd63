"""`sbn predict` on JPEGs of Tiny ImageNet against a plain loop of Pillow and PyTorch, and the memory that it takes.

    python -m tests.benchmarks.predict FOLDER

is the process whose memory is measured; it prints the bytes at their peak.
"""

import csv
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import psutil
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
CLASSES = 200
WIDTHS = {8: "at least 2×", 32: ""}  # of the net; the wider, the more both wait for it
WORKERS = (0, 2)  # of which the plain loop may choose
BATCH_SIZE = 64


def rows() -> Iterator[Row]:
    """The speed with a small net and with a usual one, for which both wait, and the memory over few and many files."""
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as folder:
        root = Path(folder)
        kind = put_photos(root)
        for width, wanted in WIDTHS.items():
            compared, workers = comparison(root, width)
            what = (
                f"sbn predict on {FEW:,} JPEGs of Tiny ImageNet ({kind}), SmallCNN of width {width}, against a loop of "
                f"Pillow and PyTorch, {workers} workers"
            )
            yield compared.speed_row(what, wanted)
        little, much = (peak_memory(root / name) for name in ("few", "many"))
        what = f"memory of sbn predict and its processes at its peak, {MANY:,} files beside {FEW:,}"
        times = f"{much / little:.3g}× the bytes"
        yield Row(what, f"{much / 1e6:.0f} MB", f"{little / 1e6:.0f} MB", times, "at most 1.05×")


def comparison(root: Path, width: int) -> tuple[Comparison, int]:
    """Compare with the plain loop, and say with how many workers that is fastest."""
    trained, photos = model(width), root / "few"

    def ours() -> None:
        with redirect_stdout(None):
            write_predictions(trained, ImageFiles([str(photos)], trained.data), root / "ours.csv", BATCH_SIZE)

    def theirs(workers: int) -> Callable[[], None]:
        names = trained.data.class_names
        return lambda: plain_loop(trained.classifier, photos, root / "theirs.csv", names, workers)

    seconds = {workers: min(timed(theirs(workers), FEW)() for _ in range(2)) for workers in WORKERS}
    best = min(seconds, key=lambda workers: seconds[workers])
    return compare(timed(ours, FEW), timed(theirs(best), FEW), REPETITIONS), best


def put_photos(root: Path) -> str:
    """Put `few` and `many` JPEGs into folders of these names, by links; says whether they are "real" or "random"."""
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
    """Return the bytes that a process takes for the photos in a folder, with its own processes, at their peak."""
    command = [sys.executable, "-m", "tests.benchmarks.predict", str(folder)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure(folder: str) -> int:
    """Classify the photos in a folder, and return the largest sum of what this process and its own take for themselves
    alone; what is shared counts in part for each."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        own = psutil.Process()
        is_done = False
        while not is_done:
            taken, is_done = 0, done.wait(0.05)
            for process in (own, *own.children()):
                try:
                    taken += process.memory_full_info().pss
                except psutil.Error:  # it has ended
                    continue
            peak = max(peak, taken)

    trained = model(min(WIDTHS))
    source = ImageFiles([folder], trained.data)
    thread = threading.Thread(target=watch)
    thread.start()
    with tempfile.TemporaryDirectory() as place, redirect_stdout(None):
        write_predictions(trained, source, Path(place) / "a.csv", BATCH_SIZE)
    done.set()
    thread.join()
    return peak


if __name__ == "__main__":
    print(measure(sys.argv[1]))
