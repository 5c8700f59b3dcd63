"""A short run of tests/soak/fuzz_photos.py: damaged images and archives are read or refused."""

from pathlib import Path

import pytest

from tests.soak.fuzz_photos import MEGABYTES, fuzz, sound_images


@pytest.mark.filterwarnings("ignore")  # Pillow and zipfile warn of what is odd
def test_damaged_images_and_archives_are_read_or_refused(tmp_path: Path) -> None:
    outcomes, slowest, megabytes = fuzz(200, 1, tmp_path)
    assert outcomes.keys() == {f"{kind} {how}" for kind in ("images", "archives") for how in ("read", "refused")}
    assert slowest < 5
    assert megabytes < MEGABYTES


def test_sound_images_are_of_every_format() -> None:
    assert {name.split(",")[0] for name in sound_images()} >= {"JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP"}
