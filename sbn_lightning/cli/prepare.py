"""`sbn prepare`: download and pack a config's data, and nothing else."""

from collections.abc import Sequence
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from sbn_lightning.cli.checks import check_classes
from sbn_lightning.cli.commands import COMMANDS
from sbn_lightning.cli.parser import ArgumentParser
from sbn_lightning.cli.trainer import ConfigCLI
from sbn_lightning.data import ImageDataModule


class PrepareCLI(ConfigCLI):
    """Takes the configs and options of `sbn fit`, but builds the data only."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)
        check_classes(self.config)

    def instantiate_classes(self) -> None:
        parser = ArgumentParser()
        parser.add_subclass_arguments(ImageDataModule, "data")
        self.datamodule = parser.instantiate_classes(Namespace(data=self.config.data)).data


def prepare(fit_options: Sequence[str]) -> None:
    """Download and pack the data of a config, given by the options of `sbn fit`, and print what is there."""
    usage = {"usage": "sbn prepare --config CONFIG [--KEY VALUE ...]", "description": COMMANDS["prepare"].text}
    data = PrepareCLI(fit_options, parser_kwargs=usage, run=False).datamodule
    data.prepare_data()
    manifest = data.manifest()
    height, width = manifest.image_size
    size = sum(manifest.num_images.values()) * 3 * height * width
    counts = ", ".join(f"{count:,} {split}" for split, count in manifest.num_images.items())
    print(
        f"{type(data).__name__} is packed in {data.store}\n"
        f"  images   {counts}; {len(manifest.class_names)} classes, {height} × {width} pixels, {size / 1e6:,.0f} MB\n"
        f"  skipped  {len(manifest.skipped):,}\n"
        f"  mean     {' '.join(f'{value:.4f}' for value in manifest.mean)}\n"
        f"  std      {' '.join(f'{value:.4f}' for value in manifest.std)}"
    )
