"""`sbn prepare`: download and pack a config's data, and nothing else."""

from collections.abc import Sequence

from jsonargparse import Namespace

from sbn_lightning.callbacks.run_facts import data_facts
from sbn_lightning.callbacks.summary_text import class_sizes_text
from sbn_lightning.cli.parser import ArgumentParser, ConfigCLI
from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.pack import megabytes
from sbn_lightning.terminal import show


class PrepareCLI(ConfigCLI):
    """Takes the configs and options of `sbn fit`, but builds the data only."""

    def instantiate_classes(self) -> None:
        parser = ArgumentParser()
        parser.add_subclass_arguments(ImageDataModule, "data")
        self.datamodule = parser.instantiate_classes(Namespace(data=self.config.data)).data


def prepare(fit_options: Sequence[str]) -> None:
    """Download and pack the data of a config, given by the options of `sbn fit`, and print what is there."""
    data = PrepareCLI("prepare", fit_options).datamodule
    data.prepare_data()
    data.setup("fit")
    manifest = data.manifest()
    height, width = manifest.image_size
    size = sum(manifest.num_images.values()) * 3 * height * width
    counts = ", ".join(f"{count:,} {split}" for split, count in manifest.num_images.items())
    left_out = f"see 'skipped' in {data.store / 'manifest.json'}" if manifest.skipped else "nothing"
    show(
        ("Packed", f"{type(data).__name__}, in {data.store}"),
        ("Images", f"{counts}; {len(manifest.class_names)} classes, {height} × {width} pixels, {megabytes(size)}"),
        ("", class_sizes_text(data_facts(data))),
        ("Left out", left_out),
        ("Mean", " ".join(f"{value:.4f}" for value in manifest.mean)),
        ("Std", " ".join(f"{value:.4f}" for value in manifest.std)),
    )
