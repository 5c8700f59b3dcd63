"""`sbn predict`: writes the class that a trained model takes each image for."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal, NoReturn

from sbn_lightning.data import ImageDataModule
from sbn_lightning.deploy.folded import folded
from sbn_lightning.deploy.images import ImageFiles, ImageSource, SplitOfRun
from sbn_lightning.deploy.inference import computed, usual_batch_size
from sbn_lightning.deploy.prediction.guesses import GuessTable
from sbn_lightning.deploy.prediction.table import check_out
from sbn_lightning.deploy.progress import ImageProgress
from sbn_lightning.deploy.seen_images import MAY_BE_SEEN, may_be_seen
from sbn_lightning.deploy.trained import Trained, data_of, open_trained
from sbn_lightning.errors import UsageError, counted
from sbn_lightning.run.files import FINISHED, LAST, PREDICTIONS
from sbn_lightning.terminal import Row, duration, show, unbroken


def predict(
    *,
    config: Path | None = None,
    images: list[str] | None = None,
    out: Path | None = None,
    ckpt_path: str = "last",
    root: Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    batch_size: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write the class that a trained model takes each image for, and how sure it is.

        sbn predict --config runs/birds --images new_photos --out new_photos.csv

    A row gives the path of an image and the three most probable classes with their probabilities; or the error, if the
    image cannot be read. Where the images lie in folders that are called like the classes, it also gives this label and
    whether the first guess is correct.

    A file that ends in .csv is a table for people and spreadsheets: in its texts, control characters are escapes, and
    what starts with =, +, - or @ has an apostrophe in front. One that ends in .jsonl has a JSON object on each line,
    with texts exactly as they are. While it is written, the file is called NAME.unfinished.csv; if the command is
    interrupted, that keeps the rows which were written.

    Args:
        config: The folder of a trained run, or a checkpoint.
        images: Files, folders, and patterns in quotes. Folders are read with the folders in them. Without this option
            the images of the run's test set are taken.
        out: The file to write; default: predictions.csv, and for the test set RUN/predictions.csv.
        ckpt_path: Of a run: last, best or a file.
        root: The folder of the run's data, if it has moved; for the test set.
        device: What computes; auto is a GPU if there is one.
        batch_size: Images at a time, on each core or the GPU; default: up to 64, or 256 on a GPU, fewer large ones.
        overwrite: Replace a file that exists; RUN/predictions.csv is always replaced.

    Raises:
        UsageError: If there is no such model, no image, or the file must not or cannot be written.
    """
    if config is None:
        raise UsageError(
            "sbn predict needs a trained model: sbn predict --config RUN --images DIR, with a run's folder"
        )
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"--batch_size is {batch_size}; it must be at least 1")
    if images and root:
        raise UsageError("--root is the folder of the run's own data; leave it out, or leave out --images")
    file = out or (Path(f"{PREDICTIONS}.csv") if images else None)
    if file:
        check_out(file, overwrite)
    trained = open_trained(config, ckpt_path, device)
    source: ImageSource
    if images:
        source = ImageFiles(images, trained.data)
    else:
        data = test_data(trained, root)
        source, file = SplitOfRun(data, "test"), file or file_of_test_set(trained, data.digest)
    assert file is not None
    rows = write_predictions(trained, source, file, batch_size)
    can_be_judged = source.has_labels and (not images or (len(images) == 1 and Path(images[0]).is_dir()))
    again = ["--images", *images] if images else []
    if images and source.has_labels and may_be_seen(trained, images):
        rows.append(("Note", MAY_BE_SEEN))
        again = []
    more = ["sbn", "evaluate", "--config", str(config), *again] if can_be_judged else []
    show(*rows, *([("Next", unbroken(shlex.join(more)))] if more else []))


def write_predictions(trained: Trained, source: ImageSource, file: Path, batch_size: int | None = None) -> list[Row]:
    """Write what a model takes the images of a source for, and return what is to be said of it.

    Args:
        trained: The model.
        source: The images.
        file: See `table.Table`.
        batch_size: None for the usual one of the device.

    Raises:
        UsageError: If the file cannot be written, or the model answers NaN. Rows that were written are kept.
    """
    show(("Checkpoint", str(trained.checkpoint)), ("Images", str(source)))
    table = GuessTable(file, trained.data.class_names, source.has_labels)
    progress = ImageProgress("Predicting", source.count)
    size = batch_size or usual_batch_size(trained, source.count)
    computing = computed(folded(trained.classifier), source.batches(size), table.guesses)
    try:
        with ended_by_sigterm(), table, progress, closing(computing):
            for batch, (probabilities, classes) in computing:
                if bool(probabilities.isnan().any()):
                    raise UsageError(f"{trained.checkpoint} answers NaN: its training went wrong; use an earlier one")
                table.write_guesses(batch, probabilities, classes)
                progress.advance(len(batch.names))
    except BaseException:
        show(("Stopped", table.ended(source.count)))
        raise
    speed = f"{counted(table.rows, 'image')} in {duration(progress.seconds)}, {table.rows / progress.seconds:,.0f}/s"
    notes = [("Note", remark) for remark in trained.remarks()]
    return [("Predicted", speed), *source.remarks(), *table.remarks(), *notes, ("Written", str(file))]


def test_data(trained: Trained, root: Path | None) -> ImageDataModule:
    """Return the data of the run, which must have the classes of the model."""
    if trained.run_dir is None:
        raise UsageError(
            f"{trained.checkpoint} lies in no run's folder and so has no test set; name images with --images"
        )
    data = data_of(trained.run_dir, root)
    if different := trained.data.other_in(data.identity()):
        raise UsageError(
            f"{trained.checkpoint} was trained on other data: {'; '.join(different)}; name the folder of its data with "
            "--root DIR, or any photos with --images DIR"
        )
    return data


def file_of_test_set(trained: Trained, digest: str) -> Path:
    """Return the file in the run's folder for the predictions of its test set; those of another checkpoint than the
    last one, and of other images than in training, have files of their own."""
    assert trained.run_dir is not None
    if not trained.is_of_run:
        raise UsageError(
            f"{trained.checkpoint} is not of the run {trained.run_dir}; name the file to write with --out FILE"
        )
    name = PREDICTIONS if trained.checkpoint.name in (LAST, FINISHED) else f"{PREDICTIONS}_{trained.checkpoint.stem}"
    other = "" if digest == trained.data.fingerprint else f"_on_{digest[:8]}"
    return trained.run_dir / f"{name}{other}.csv"


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """End the command at SIGTERM as at Ctrl-C, by an exception, and with the exit code that a shell reports."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
