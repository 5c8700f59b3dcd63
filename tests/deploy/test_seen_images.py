"""Images that a model may have been trained on are told from others by where they lie."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_lightning.deploy.seen_images import MAY_BE_SEEN, may_be_seen
from sbn_lightning.deploy.trained import Trained


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("photos", True),
        ("photos/cat", True),
        ("photos/*/1.jpg", True),
        ("photos/train", True),
        ("photos/test", False),
        (".", True),
        ("photos_2", False),
        ("run", False),
    ],
)
def test_images_of_the_folder_of_the_data_may_have_been_seen(place: str, expected: bool, trained: Trained) -> None:
    assert trained.run_dir is not None
    assert may_be_seen(trained, [trained.run_dir.parent / place]) == expected


def test_a_checkpoint_alone_knows_no_folder(trained: Trained) -> None:
    assert not may_be_seen(trained._replace(run_dir=None), ["photos"])


def test_accuracy_on_them_is_said_to_be_too_high(
    photo_run: Path, sbn: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = photo_run.parent / "photos"
    for command, out in (("predict", "a.csv"), ("evaluate", "page")):
        sbn(command, "--config", photo_run, "--images", photos, "--out", tmp_path / out)
        said = " ".join(capsys.readouterr().out.split())
        assert MAY_BE_SEEN in said
        assert "Next" not in said or said.endswith(f"Next sbn evaluate --config {photo_run}")
    sbn("predict", "--config", photo_run, "--images", photos / "cat", "--out", tmp_path / "b.csv")  # without labels
    assert MAY_BE_SEEN not in " ".join(capsys.readouterr().out.split())
