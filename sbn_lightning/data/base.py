"""What every dataset shares: packing, splits, loaders, augmentation and normalization."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from sbn_lightning.data.augment import CropFlip
from sbn_lightning.data.loader import Batch, BatchLoader, EvaluationLoader
from sbn_lightning.data.packed_store import Decoded, Split, open_split, read_manifest, write_store


class ImageDataModule(LightningDataModule):
    """Labelled images for training, validation and testing, decoded once and then memory-mapped.

    The first prepare_data writes every image as uint8 pixels under `root/packed`; later runs only open that. Batches
    leave the loaders as uint8, and are cropped, flipped and normalized (mean and std of the training pixels) on the
    device, so that the model receives images (N, 3, H, W) float and labels (N,).

    A dataset's class says where its images come from: `store_name`, `num_classes`, `fingerprint`, `decode`, and `fetch`
    if it can be downloaded.

    With validation_fraction 0, the paper's protocol, all training images are trained on and nothing may be chosen by
    looking: the test set can be watched during training, under the name `test_each_epoch`. Above 0 a stratified part of
    the training set is held out, the same for every seed, and called `val`.

    Args:
        root: Folder of the dataset's files.
        batch_size: Images in a batch, over all devices.
        validation_fraction: Share of each class's training images that is held out, in [0, 1).
        test_each_epoch: Whether the test set is watched during training where nothing is held out.
        crop_padding: Training images are padded by so many pixels and cropped at random; 0 for no cropping.
        horizontal_flip: Whether half of the training images are mirrored.
        download: Whether the dataset may be downloaded if it is not in root.
        seed: Of the training order and the augmentation; the command line takes it from seed_everything.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        validation_fraction: float = 0.0,
        test_each_epoch: bool = True,
        crop_padding: int = 4,
        horizontal_flip: bool = True,
        download: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= validation_fraction < 1:
            raise ValueError(
                f"validation_fraction is {validation_fraction}; it is a share of the training images in [0, 1)"
            )
        if batch_size < 2:
            raise ValueError(f"batch_size is {batch_size}; batch normalization needs batches of at least 2 images")
        self.root = Path(root).expanduser()
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.test_each_epoch = test_each_epoch
        self.augmentation = CropFlip(crop_padding, horizontal_flip) if crop_padding or horizontal_flip else None
        self.download = download
        self.seed = seed
        self._splits: dict[str, Split] = {}
        self._mean = self._std = torch.empty(0)

    # What a dataset says of itself.

    @property
    def store_name(self) -> str:
        """Name of the packed store's folder; it differs wherever images or labels differ."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """C, known before anything is read."""
        raise NotImplementedError

    def fingerprint(self) -> dict[str, Any] | None:
        """What identifies the source files (sizes, times, version), or None if they are not there."""
        raise NotImplementedError

    def decode(self) -> tuple[list[str], dict[str, Decoded]]:
        """Class names, and the splits `train` and `test` with their images."""
        raise NotImplementedError

    def fetch(self) -> None:
        """Download the source files into root."""
        raise NotImplementedError

    # What is made of it.

    @property
    def store(self) -> Path:
        """Folder of the packed images."""
        return self.root / "packed" / self.store_name

    def prepare_data(self) -> None:
        """Download if asked to and needed, and pack if there is no packed store of these source files."""
        manifest = read_manifest(self.store)
        fingerprint = self.fingerprint()
        if fingerprint is None:
            if manifest is not None:  # the packed images are all that training needs
                return
            if not self.download:
                raise FileNotFoundError(
                    f"{type(self).__name__} is not in {self.root}/; name the folder that holds it with "
                    "--data.root DIR, or let it be downloaded there with --data.download true"
                )
            self.fetch()
            fingerprint = self.fingerprint()
            assert fingerprint is not None
        if manifest is None or manifest.fingerprint != fingerprint:
            print(f"Packing {type(self).__name__} into {self.store}", flush=True)
            class_names, splits = self.decode()
            write_store(self.store, fingerprint, class_names, splits)

    def setup(self, stage: str) -> None:
        """Open the packed images and split them."""
        if self._splits:
            return
        manifest = read_manifest(self.store)
        if manifest is None:
            raise FileNotFoundError(
                f"there is no packed {type(self).__name__} in {self.store}; call prepare_data first"
            )
        self.class_names = manifest.class_names
        self._mean, self._std = (255 * torch.tensor(moment).view(3, 1, 1) for moment in (manifest.mean, manifest.std))
        self._std = self._std.clamp(min=1)  # a channel of one level everywhere has no spread to divide by
        self._splits = {name: open_split(self.store, name) for name in manifest.num_images}
        self._indices = {name: torch.arange(count) for name, count in manifest.num_images.items()}
        if self.validation_fraction:
            self._splits["val"] = self._splits["train"]
            self._indices["train"], self._indices["val"] = stratified_split(
                self._splits["train"].labels, self.validation_fraction
            )

    @property
    def validation_stage(self) -> str | None:
        """What each epoch ends with: `val` (held out), `test_each_epoch` (nothing is chosen by it) or None."""
        if self.validation_fraction:
            return "val"
        return "test_each_epoch" if self.test_each_epoch else None

    @property
    def num_images(self) -> dict[str, int]:
        """Images in each split, after setup."""
        return {name: len(indices) for name, indices in self._indices.items()}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, H, W), after setup."""
        channels, height, width = self._splits["train"].images.shape[1:]
        return channels, height, width

    @property
    def class_counts(self) -> Tensor:
        """(C,) number of training images of each class, after setup."""
        return torch.bincount(self._splits["train"].labels[self._indices["train"]], minlength=self.num_classes)

    def train_dataloader(self) -> BatchLoader:
        split = self._splits["train"]
        return BatchLoader(
            split.images,
            split.labels,
            self._indices["train"],
            self.batch_size,
            self.augmentation,
            self.seed,
            *self._rank(),
        )

    def val_dataloader(self) -> EvaluationLoader | list[EvaluationLoader]:
        if self.validation_fraction:
            return self._evaluation_loader("val")
        if self.trainer is not None and self.trainer.state.fn == "validate":
            raise ValueError(
                f"{type(self).__name__} has no validation images, since validation_fraction is 0; "
                "use `sbn test`, or train with --data.validation_fraction 0.1"
            )
        return self._evaluation_loader("test") if self.test_each_epoch else []

    def test_dataloader(self) -> EvaluationLoader:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> EvaluationLoader:
        return self._evaluation_loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Augment and normalize on the device: uint8 pixels -> images (N, 3, H, W) float and labels (N,)."""
        images = batch.images
        if batch.draws is not None and self.augmentation is not None:
            images = self.augmentation(images, batch.draws)
        # Moved once: a copy to the device in every step would make it wait.
        self._mean, self._std = self._mean.to(images.device), self._std.to(images.device)
        return (images - self._mean) / self._std, batch.labels

    def _evaluation_loader(self, name: str) -> EvaluationLoader:
        split = self._splits[name]
        return EvaluationLoader(split.images, split.labels, self._indices[name], self.batch_size, *self._rank())

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)


def stratified_split(labels: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """Split so that each class gives the same fraction, at random but always alike.

    Args:
        labels: (N,).
        fraction: Share of the second part, in (0, 1).

    Returns:
        The sorted indices of both parts.

    Raises:
        ValueError: If a class is too small to be in both parts.
    """
    from sklearn.model_selection import train_test_split  # a second of import time that only this needs

    try:
        first, second = train_test_split(
            range(len(labels)), test_size=fraction, stratify=labels.numpy(), random_state=0
        )
    except ValueError as error:
        raise ValueError(
            f"validation_fraction {fraction} does not split {len(labels)} images by class: {error}"
        ) from error
    return torch.tensor(sorted(first)), torch.tensor(sorted(second))
