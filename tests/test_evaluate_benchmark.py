"""The benchmark of `sbn evaluate` measures what it says."""

from tests.benchmarks import evaluate


def test_page_of_many_images_and_classes_is_made_in_time_and_small() -> None:
    seconds, size = evaluate.measure(evaluate.IMAGES, evaluate.CLASSES)
    assert seconds < 20
    assert 100_000 < size < 3_000_000
