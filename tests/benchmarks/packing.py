"""Packing image files, starting on packed ones, and the memory that training on more of them than fit takes."""

import io
import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from sbn_lightning.data import TinyImageNet
from tests.benchmarks.comparison import Row, compare, duration, timed
from tests.benchmarks.tiny_imagenet_files import put_archive

REPETITIONS = 5
LARGE = 10 * 10**9 // (3 * 64 * 64)  # images in 10 GB
BATCHES = 500  # of 128 images, taken from all over the 10 GB


def rows() -> Iterator[Row]:
    """Packing against Pillow in one process, the second start, the memory that grows."""
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as folder:
        root = Path(folder)
        kind = put_archive(root)

        def pack() -> None:
            shutil.rmtree(root / ".packed", ignore_errors=True)
            with redirect_stdout(None):
                TinyImageNet(root=folder).prepare_data()

        def pillow() -> None:
            decode_by_pillow(root / "tiny-imagenet-200.zip", root / "pillow")

        with zipfile.ZipFile(root / "tiny-imagenet-200.zip") as archive:
            count = len(images_in(archive))
        what = f"packing {count:,} JPEGs of Tiny ImageNet ({kind}) against a loop over Pillow"
        yield compare(timed(pack, count), timed(pillow, count), REPETITIONS).speed_row(what, "at least 3× on 2 cores")
        yield Row("second start: prepare_data and setup", duration(second_start(folder)), "", "", "under 500 ms")
        with_10_gb(root / ".packed" / "tiny_imagenet")
        grown = anonymous_memory_grown(folder)
        what = f"memory (RssAnon) that grows over {BATCHES} batches from 10 GB"
        yield Row(what, f"{grown / 1e6:.0f} MB", "", "", "under 200 MB")


def images_in(archive: zipfile.ZipFile) -> list[str]:
    """What TinyImageNet reads: training and validation images."""
    return [name for name in archive.namelist() if name.endswith(".JPEG") and "/test/" not in name]


def decode_by_pillow(file: Path, target: Path) -> None:
    """What people write: every image into one array, then onto the disk."""
    with zipfile.ZipFile(file) as archive:
        names = images_in(archive)
        images = np.empty((len(names), 3, 64, 64), np.uint8)
        for row, name in enumerate(names):
            image = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            images[row] = np.asarray(image).transpose(2, 0, 1)
    np.save(target, images)


def second_start(root: str) -> float:
    """Seconds; the median of five."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        data = TinyImageNet(root=root)
        data.prepare_data()
        data.setup("fit")
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[2]


def with_10_gb(store: Path) -> None:
    """Make a store 10 GB large, all of it training images; the disk holds none of them, since they are all zeros."""
    fields = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(fields | {"num_images": {"train": LARGE}}))
    np.lib.format.open_memmap(store / "images.npy", "w+", np.uint8, (LARGE, 3, 64, 64)).flush()
    np.save(store / "labels.npy", np.arange(LARGE) % 200)
    np.savez(store / "splits.npz", train=np.arange(LARGE))


def anonymous_memory_grown(root: str) -> int:
    """Bytes between opening the store and the largest amount seen while its batches are taken out."""
    process = psutil.Process()

    def rss_anon() -> int:
        memory = process.memory_info()
        return memory.rss - memory.shared  # on Linux: RssAnon, since file pages count as shared

    before = most = rss_anon()
    data = TinyImageNet(root=root)
    data.prepare_data()
    data.setup("fit")
    for number, batch in enumerate(data.train_dataloader()):
        data.on_after_batch_transfer(batch, 0)
        most = max(most, rss_anon())
        if number == BATCHES:
            break
    return most - before
