"""How long the page of `sbn evaluate` takes beyond the evaluation itself, and how large it is."""

import time
from collections.abc import Iterator

from sbn_lightning.deploy.evaluation.page import page_of_one
from sbn_lightning.report.render import rendered
from tests.benchmarks.comparison import Row, duration
from tests.made_up_answers import evaluation, made_up, pixels

IMAGES, CLASSES = 10_000, 100
REPETITIONS = 3


def rows() -> Iterator[Row]:
    """From the logits to the page, in a process that has imported everything."""
    seconds, size = zip(*(measure(IMAGES, CLASSES) for _ in range(REPETITIONS)), strict=True)
    what = f"page of `sbn evaluate`, {IMAGES:,} images of 64×64, {CLASSES} classes, 40 pictures, beyond the evaluation"
    yield Row(what, duration(sorted(seconds)[REPETITIONS // 2]), "", "", "under 20 s")
    yield Row("the same: size of evaluation.html", f"{size[0] / 1e6:.2f} MB", "", "", "under 3 MB")


def measure(images: int, classes: int) -> tuple[float, int]:
    """Return the seconds that numbers and page take, and the bytes of the page."""
    answers = made_up(images, classes)
    start = time.perf_counter()
    page = rendered(page_of_one(evaluation(answers), answers, pixels), "html")
    return time.perf_counter() - start, len(page.encode())
