"""Whether a model may have been trained on the images that a user names: it is right about those too often."""

from collections.abc import Iterable
from pathlib import Path

from sbn_lightning.data.listing import split_of
from sbn_lightning.deploy.trained import Trained, config_of

MAY_BE_SEEN = (
    "The model may have been trained on some of these images, for they lie in the folder of its data. Then it is right "
    "more often here than on new images. Without --images, the test images are taken."
)


def may_be_seen(trained: Trained, arguments: Iterable[str | Path]) -> bool:
    """Whether files, folders or patterns lie in the folder of the run's data, and not in its folder for testing, or
    contain it."""
    if trained.run_dir is None:
        return False
    root = (config_of(trained.run_dir).get("data") or {}).get("init_args", {}).get("root")
    if root is None or not Path(root).is_dir():
        return False
    folder = Path(root).resolve()
    places = (Path(argument).expanduser().resolve() for argument in arguments)
    return any(folder.is_relative_to(place) or is_for_training(place, folder) for place in places)


def is_for_training(place: Path, folder: Path) -> bool:
    """Whether a file or folder lies in the folder of the data, and not in its folder for testing."""
    return place.is_relative_to(folder) and split_of(place.relative_to(folder).parts[0]) != "test"
