"""FaceScrub's layouts, which identities are kept, and the split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_images import put_image

from sbn_lightning.data.datasets import facescrub
from sbn_lightning.data.datasets.facescrub import FaceScrub, list_faces
from sbn_lightning.data.store import open_store
from sbn_lightning.errors import UsageError

NAMES = {"Ann Lee": 20, "Bo_Ek": 12, "José Ibáñez": 10}

# How each layout names the folder of one identity's images.
LAYOUTS: dict[str, Callable[[str], str]] = {
    "faces": lambda name: f"{'actor' if name[0] == 'B' else 'actress'}_faces/{name}",
    "subfolders": lambda name: f"{'actors' if name[0] == 'B' else 'actresses'}/faces/{name}",
    "download": lambda name: f"download/{name}/face",
    "flat": lambda name: name,
}


def put_facescrub(root: Path, layout: str = "flat", names: dict[str, int] = NAMES) -> None:
    seed = 0
    for name, count in names.items():
        for number in range(count):
            put_image(root / LAYOUTS[layout](name) / f"{name}_{number}.png", seed)
            seed += 1


@pytest.fixture(autouse=True)
def three_identities_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facescrub, "NUM_CLASSES", 3)


def new(root: Path, **options: Any) -> FaceScrub:
    return FaceScrub(root=str(root), **{"min_images_per_class": 10, **options})


def packed(data: FaceScrub) -> dict[str, tuple[bytes, list[int]]]:
    """Pixels and labels of both splits, in order."""
    data.prepare_data()
    data.setup("fit")
    store = open_store(data.store)
    return {
        name: (store.images[rows].numpy().tobytes(), store.labels[rows].tolist()) for name, rows in store.splits.items()
    }


@pytest.mark.parametrize("layout", ["faces", "subfolders", "download"])
def test_every_layout_gives_the_same_split_with_a_tenth_of_each_identity_for_testing(
    layout: str, tmp_path: Path
) -> None:
    put_facescrub(tmp_path / "flat", "flat")
    put_facescrub(tmp_path / layout, layout)
    flat, other = new(tmp_path / "flat"), new(tmp_path / layout)
    splits = packed(other)
    assert splits == packed(flat)
    assert other.class_names == flat.class_names == ["Ann Lee", "Bo Ek", "José Ibáñez"]
    assert np.bincount(splits["test"][1]).tolist() == [2, 1, 1]
    assert np.bincount(splits["train"][1]).tolist() == [18, 11, 9]
    assert other.image_shape == (3, 64, 64)


def test_split_does_not_depend_on_the_order_in_which_files_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_facescrub(tmp_path)
    faces, _ = list_faces(tmp_path)
    for name in ("glob", "iterdir"):
        listed = getattr(Path, name)
        monkeypatch.setattr(
            Path, name, lambda path, *pattern, listed=listed: iter(sorted(listed(path, *pattern), reverse=True))
        )
    assert list_faces(tmp_path)[0] == faces


def test_images_of_actors_and_actresses_folders_are_merged_by_name(tmp_path: Path) -> None:
    for number in range(10):
        put_image(tmp_path / "actor_faces" / "Ann_Lee" / f"{number}.png")
        put_image(tmp_path / "actresses" / "faces" / "Ann Lee" / f"{number + 10}.png")
    faces, _ = list_faces(tmp_path)
    assert {face.label for face in faces} == {"Ann Lee"}
    assert len(faces) == 20


def test_identity_is_kept_for_its_readable_images_only(tmp_path: Path) -> None:
    put_facescrub(tmp_path, names={**NAMES, "Cy Oh": 10, "Di Po": 3})
    (tmp_path / "Cy Oh" / "Cy Oh_4.png").write_bytes(b"")
    data = new(tmp_path)
    data.prepare_data()
    assert data.manifest().class_names == ["Ann Lee", "Bo Ek", "José Ibáñez"]
    assert data.manifest().skipped == [
        "Cy Oh/Cy Oh_4.png: is empty",
        "Cy Oh: 9 readable images, 10 are needed",
        "Di Po: 3 readable images, 10 are needed",
    ]
    assert data.manifest().num_images == {"train": 38, "test": 4}
    assert [path.name for path in data.packed_dir.iterdir() if path.name[0] != "."] == ["facescrub_10"]


def test_unreadable_images_change_no_other_images_label(tmp_path: Path) -> None:
    def label_of_image(data: FaceScrub) -> dict[bytes, int]:
        data.prepare_data()
        store = open_store(data.store)
        rows = torch.cat(list(store.splits.values()))
        return {store.images[row].numpy().tobytes(): int(store.labels[row]) for row in rows}

    put_facescrub(tmp_path)
    before = label_of_image(new(tmp_path))
    for number in (3, 7):
        (tmp_path / "Ann Lee" / f"Ann Lee_{number}.png").write_bytes(b"no image")
    after = label_of_image(new(tmp_path))
    assert after.items() <= before.items()
    assert len(after) == len(before) - 2


def test_unreadable_image_can_be_an_error(tmp_path: Path) -> None:
    put_facescrub(tmp_path)
    (tmp_path / "Bo_Ek" / "Bo_Ek_0.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"Bo_Ek/Bo_Ek_0\.png is not an image"):
        new(tmp_path, on_bad_image="error").prepare_data()


def test_other_number_of_identities_than_the_papers_is_a_warning_with_the_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    put_facescrub(tmp_path, names={**NAMES, "Di Po": 3})
    with pytest.warns(UserWarning, match=r"has 3 identities .* \(1 have fewer\), not 361 as in the paper"):
        new(tmp_path).prepare_data()


def test_names_that_differ_in_case_are_an_error(tmp_path: Path) -> None:
    put_facescrub(tmp_path, names={**NAMES, "ann_lee": 1})
    with pytest.raises(UsageError, match="'Ann Lee' and 'ann lee' differ only in case"):
        new(tmp_path).prepare_data()


def test_image_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    put_facescrub(tmp_path, "faces")
    put_facescrub(tmp_path, "download")
    with pytest.raises(UsageError, match=r"are both the image Ann Lee_0\.png of Ann Lee: keep one"):
        new(tmp_path).prepare_data()


@pytest.mark.parametrize(("least", "kept"), [(21, 0), (15, 1)])
def test_fewer_than_two_identities_are_an_error(tmp_path: Path, least: int, kept: int) -> None:
    put_facescrub(tmp_path)
    with pytest.raises(UsageError, match=rf"{kept} of 3 .* have {least} readable images \(most: Ann Lee: 20"):
        new(tmp_path, min_images_per_class=least).prepare_data()
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UsageError, match="0 of 3 identities"):
        new(tmp_path).prepare_data()


def test_least_number_of_images_below_2_is_refused() -> None:
    with pytest.raises(UsageError, match="min_images_per_class is 1; an identity needs 2 images"):
        FaceScrub(min_images_per_class=1)
