"""`python -m tests.soak.fuzz_photos`: damaged images and archives, each of which must be read or refused in a moment.

Takes sound files of every format and changes some of their bytes, cuts them off, or joins two of them. Prints how many
were read and how many refused, the slowest and the memory; ends with a traceback if an input raises anything else, and
with exit code 1 if one takes more than 10 seconds or all together more than 1 GB of memory. Some seconds for 2,000.
"""

import argparse
import io
import random
import resource
import signal
import struct
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from sbn_lightning.data.decode import decode, formats
from sbn_lightning.data.sources import BadImage, ZipSource, read_text
from sbn_lightning.errors import UsageError

SECONDS = 10
MEGABYTES = 1000
NUMBERS = [0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1]  # where sizes are at their limits


def sound_images() -> dict[str, bytes]:
    """A small image of each format and kind of pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize((40, 30))
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) << 4)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "xRGB".encode("utf-16-be"))  # else nothing is converted
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[str, str, Image.Image, dict[str, Any]]] = [
        ("plain", "JPEG", picture, {}),
        ("CMYK", "JPEG", picture.convert("CMYK"), {"icc_profile": profile}),
        ("progressive", "JPEG", picture, {"progressive": True, "exif": exif, "icc_profile": profile}),
        ("transparent", "PNG", picture.convert("RGBA"), {"icc_profile": profile}),
        ("16 bits", "PNG", deep, {}),
        ("palette", "PNG", picture.convert("P"), {"exif": exif}),
        ("animated", "GIF", picture, {"save_all": True, "append_images": [picture.rotate(90)]}),
        ("plain", "BMP", picture, {}),
        ("plain", "PPM", picture, {}),
        ("16 bits", "PPM", deep.convert("I"), {}),
        ("plain", "TIFF", picture, {"exif": exif}),
        ("compressed", "TIFF", picture, {"compression": "tiff_lzw"}),
        ("as JPEG", "TIFF", picture, {"compression": "jpeg"}),
        ("16 bits", "TIFF", deep, {}),
        ("plain", "WEBP", picture, {}),
        ("lossless", "WEBP", picture.convert("RGBA"), {"lossless": True}),
        ("plain", "AVIF", picture, {}),
    ]
    files = {}
    for kind, file_format, image, options in kinds:
        if file_format in formats():
            buffer = io.BytesIO()
            image.save(buffer, file_format, **options)
            files[f"{file_format}, {kind}"] = buffer.getvalue()
    return files


def sound_archive(images: list[bytes]) -> bytes:
    """A zip archive of a text and some images, stored and deflated."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("words.txt", "n01\tcat\n" * 50, zipfile.ZIP_DEFLATED)
        for number, content in enumerate(images):
            archive.writestr(f"{number}", content, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2])
    return buffer.getvalue()


def damaged(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """The content with a few changes of one kind."""
    changed = bytearray(content)
    kind = chance.randrange(5)
    if kind == 0:
        return content[: chance.randrange(len(content))]
    if kind == 1:
        place = chance.randrange(len(content))
        return content[:place] + other[chance.randrange(len(other)) :]
    for _ in range(chance.randint(1, 6)):
        # Half of the changes in the header, where the sizes stand, or in an archive's directory at the end.
        place = chance.choice([chance.randrange(len(changed)), chance.randrange(min(64, len(changed)))])
        place = len(changed) - 1 - place if chance.random() < 0.2 else place
        if kind == 2:
            changed[place] = chance.randrange(256)
        elif kind == 3:
            order, size = chance.choice("<>"), chance.choice("HI")
            number = struct.pack(order + size, chance.choice(NUMBERS) % 2 ** (8 * struct.calcsize(size)))
            changed[place : place + len(number)] = number
        else:
            del changed[place : place + chance.randint(1, 8)]
            if not changed:
                break
    return bytes(changed)


def read_image(content: bytes) -> str:
    """Decode it, or say how it is refused."""
    try:
        decode(content, (16, 16), "crop")
    except BadImage:
        return "images refused"
    return "images read"


def read_archive(content: bytes, file: Path) -> str:
    """Read everything in it, or say how it is refused."""
    file.write_bytes(content)
    source = ZipSource(file)
    try:
        read_text(source, "words.txt", "get it again")
        for name in source.archive.namelist():
            decode(source.read(name), (16, 16), "crop") if name.isdigit() else source.read(name)
    except (BadImage, UsageError):
        return "archives refused"
    return "archives read"


def fuzz(count: int, seed: int, folder: Path) -> tuple[Counter[str], float, float]:
    """How many inputs were read and refused, the seconds of the slowest, and by how many MB the memory has grown."""
    chance, outcomes, slowest = random.Random(seed), Counter[str](), 0.0
    images = list(sound_images().values())
    archive = sound_archive(images[:6])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGALRM, too_slow)
    for number in range(count):
        is_archive = number % 4 == 0
        content = damaged(archive if is_archive else chance.choice(images), chance.choice(images), chance)
        (folder / "last").write_bytes(content)  # to look at if this is the end
        started = time.perf_counter()
        signal.alarm(SECONDS)
        outcomes[read_archive(content, folder / "a.zip") if is_archive else read_image(content)] += 1
        signal.alarm(0)
        slowest = max(slowest, time.perf_counter() - started)
    return outcomes, slowest, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def too_slow(number: int, frame: FrameType | None) -> None:
    # Not an Exception, which the readers would take for one of Pillow's.
    raise SystemExit(f"an input took more than {SECONDS} seconds")


def main() -> None:
    """Run as many as asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fuzz_photos", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="inputs, a quarter of them archives")
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sbn-fuzz-") as folder:
        outcomes, slowest, megabytes = fuzz(options.count, options.seed, Path(folder))
    counts = ", ".join(f"{count:,} {what}" for what, count in sorted(outcomes.items()))
    print(f"{counts}; slowest {slowest:.2f} s; {megabytes:,.0f} MB of memory more than before")
    raise SystemExit(int(megabytes > MEGABYTES))


if __name__ == "__main__":
    main()
