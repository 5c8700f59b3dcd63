"""A trained model, found by the folder of its run or by its checkpoint, and the data of that run."""

import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from jsonargparse import ArgumentParser

import sbn_lightning.backbones
import sbn_lightning.heads  # noqa: F401  (a checkpoint may name what is imported, and nothing else)
from sbn_lightning.checkpointing.load import find_checkpoint
from sbn_lightning.classifier import Classifier
from sbn_lightning.config_files import LOADER, find_config
from sbn_lightning.data import ImageDataModule
from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import CHECKPOINTS, user_path
from sbn_lightning.run.identity import TrainedOn
from sbn_lightning.run.records import Results, read_results


class Trained(NamedTuple):
    """A model that is ready to answer.

    Attributes:
        classifier: In evaluation mode, on its device.
        data: What it was trained on.
        checkpoint: Its file.
        run_dir: The folder of the run that was named, or that the file lies in; None if there is only the file.
        results: The record of its own run, which is empty if there is none.
    """

    classifier: Classifier
    data: TrainedOn
    checkpoint: Path
    run_dir: Path | None
    results: Results

    @property
    def is_of_run(self) -> bool:
        """Whether the checkpoint is one of run_dir, and not a file from elsewhere that is used with its data."""
        return self.run_dir is not None and is_of(self.checkpoint, self.run_dir)

    def remarks(self) -> list[str]:
        """What is to be said of its answers: it computes in float32, whatever the precision of its training was."""
        training = self.results.training
        if training is None or training.precision in (None, "32-true"):
            return []
        text = "the network now computes in float32, so that results differ a little from those of sbn test"
        return [f"The training computed in {training.precision}; {text}."]


def open_trained(config: Path, ckpt_path: str = "last", device: str = "auto") -> Trained:
    """Load the model of a run.

    Args:
        config: The folder of the run, or a checkpoint file.
        ckpt_path: Of a run: `last`, `best` or a file.
        device: Where it computes: auto, cpu, cuda, cuda:1, mps; auto is a GPU if there is one.

    Raises:
        UsageError: If there is no such run or checkpoint, it cannot be loaded, it does not say what it was trained on,
            or there is no such device.
    """
    config = user_path(config)
    if config.suffix == ".ckpt" and config.is_file():
        checkpoint, folder = config, config.resolve().parent.parent
        run_dir = folder if is_of(config, folder) and (folder / "config.yaml").is_file() else None
    else:
        file = Path(find_config(str(config)))
        run_dir = file.parent
        if file.name != "config.yaml":
            raise UsageError(
                f"{config} is not trained yet; name the folder of a run, such as --config runs/{file.stem}, or a "
                "checkpoint file, whose name ends in .ckpt"
            )
        found = find_checkpoint(run_dir / CHECKPOINTS, "predict", ckpt_path, False)
        assert found is not None  # only a training may have none
        checkpoint = found
    where = device_named(device)
    if run_dir is not None:
        import_own_classes(run_dir)
    classifier = Classifier.load_from_checkpoint(checkpoint).to(where).eval()
    if classifier.trained_on is None:
        raise UsageError(
            f"{checkpoint} does not say which classes and image size it was trained on: it is of an early version of "
            "sbn, or was not trained on an ImageDataModule; train it again with sbn fit"
        )
    results = read_results(run_dir) if run_dir is not None and is_of(checkpoint, run_dir) else Results()
    return Trained(classifier, classifier.trained_on, checkpoint, run_dir, results)


def is_of(checkpoint: Path, run_dir: Path) -> bool:
    """Whether a checkpoint lies among those of a run."""
    return checkpoint.resolve().parent == (run_dir / CHECKPOINTS).resolve()


def device_named(name: str) -> torch.device:
    """Return the device of this name, which must be there."""
    if name == "auto":
        return torch.device(next((kind for kind in ("cuda", "mps") if is_there(kind)), "cpu"))
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch raises any of them
        raise UsageError(
            f"device is {name!r}, which this machine does not have; use auto, cpu, cuda, cuda:1 or mps", "device"
        ) from error
    return device


def is_there(kind: str) -> bool:
    return torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()


def import_own_classes(run_dir: Path) -> None:
    """Import the modules of the backbone and the head that a run's config names, as its training did."""
    model = config_of(run_dir).get("model") or {}
    for part in ("backbone", "head"):
        import_module_of(model.get(part), f"model.{part}", run_dir)


def import_module_of(named: Any, key: str, run_dir: Path) -> None:
    """Import the module of a class that a run's config names at a key, and those of classes among its settings, such as
    a head in a head; a UsageError names a module that cannot be imported."""
    path = named.get("class_path") if isinstance(named, dict) else named
    module = str(path).rpartition(".")[0]
    if module and module not in sys.modules:
        try:
            import_module(module)
        except ImportError as error:
            raise UsageError(
                f"{run_dir}/config.yaml names {path} as {key}, which cannot be imported ({error}); start the command "
                "in the folder that holds it"
            ) from error
    settings = named.get("init_args") if isinstance(named, dict) else None
    for name, value in (settings or {}).items():
        if isinstance(value, dict) and "class_path" in value:
            import_module_of(value, f"{key}.{name}", run_dir)


def data_of(run_dir: Path, root: Path | None = None) -> ImageDataModule:
    """Return the data that a run was trained on, packed and set up for an evaluation.

    Args:
        run_dir: The folder of the run.
        root: Where the data lie, if they have been moved since.

    Raises:
        UsageError: If they are not there.
    """
    given = config_of(run_dir).get("data") or {}
    import_module_of(given, "data", run_dir)
    if root is not None:
        given.setdefault("init_args", {})["root"] = str(root)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(ImageDataModule, "data")
    data = parser.instantiate_classes(parser.parse_object({"data": given})).data
    try:
        data.prepare_data()
    except UsageError as error:  # which names options of sbn fit
        prepare = shlex.join(["sbn", "prepare", "--config", str(run_dir), "--data.download", "true"])
        text = str(error).replace("--data.root", "--root").replace("it with --data.download true", f"it with {prepare}")
        raise UsageError(text) from error
    data.setup("test")
    return data  # type: ignore[no-any-return]


def config_of(run_dir: Path) -> dict[str, Any]:
    """Return the config of a run as plain data."""
    file = run_dir / "config.yaml"
    try:
        config = yaml.load(file.read_text(encoding="utf-8"), LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{file} cannot be read ({' '.join(str(error).split())}); train the run again") from error
    if not isinstance(config, dict):
        raise UsageError(f"{file} is not a config of sbn fit; train the run again")
    return config
