"""`sbn prepare`: download and pack a config's data, and nothing else."""

from collections.abc import Sequence

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from sbn_lightning.classifier import Classifier
from sbn_lightning.cli.checks import check_classes
from sbn_lightning.cli.commands import COMMANDS
from sbn_lightning.cli.parser import ArgumentParser
from sbn_lightning.cli.trainer import TrainerCLI
from sbn_lightning.data import ImageDataModule


def prepare(arguments: Sequence[str]) -> None:
    """Carry out `sbn prepare`, given the command line after it, and say what is there now.

    Raises:
        UsageError: If the arguments do not fit the parser.
        ValueError, OSError: If the data cannot be packed.
    """
    data = PrepareCLI(arguments).datamodule
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


class PrepareCLI(TrainerCLI):
    """Takes the configs and options of `sbn fit`, but builds the data only."""

    def __init__(self, arguments: Sequence[str]) -> None:
        LightningCLI.__init__(
            self,
            Classifier,
            ImageDataModule,
            subclass_mode_data=True,
            seed_everything_default=0,
            parser_class=ArgumentParser,
            parser_kwargs={
                "usage": "sbn prepare --config CONFIG [--KEY VALUE ...]",
                "description": COMMANDS["prepare"].text,
            },
            args=list(arguments),
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_method_arguments(
            Trainer, "fit", skip={"model", "train_dataloaders", "val_dataloaders", "datamodule"}
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Sequence[str]) -> None:
        self.config = parser.parse_args(args)
        check_classes(self.config)

    def _parse_ckpt_path(self) -> None:
        """No checkpoint is read."""

    def _set_seed(self) -> None:
        """Nothing is random."""

    def instantiate_classes(self) -> None:
        parser = ArgumentParser()
        parser.add_subclass_arguments(ImageDataModule, "data")
        self.datamodule = parser.instantiate_classes(Namespace(data=self.config.data)).data
