"""What all datasets share: packing, splits, loaders and augmentation."""

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from sbn_lightning.acceleration import compiled
from sbn_lightning.data.augment.crop_flip import CropFlip
from sbn_lightning.data.decode import Fit
from sbn_lightning.data.loader import Batch, BatchLoader, EvaluationLoader, size_for_gpus
from sbn_lightning.data.pack import Contents, NewStore, locked, write_store
from sbn_lightning.data.splits import stratified_split
from sbn_lightning.data.store import Manifest, open_store, read_manifest, read_names
from sbn_lightning.data.transfer import to_device
from sbn_lightning.errors import UsageError, printable
from sbn_lightning.run.files import user_path
from sbn_lightning.run.identity import TrainedOn


class ImageDataModule(LightningDataModule):
    """Labelled images for training, validation and testing, decoded once and then memory-mapped.

    The first prepare_data writes every image as uint8 pixels under packed_dir; later runs only open that. Batches
    leave the loaders as uint8, and are cropped and flipped on the device, so that the model receives pixels (N, 3, H,
    W) uint8, which it normalizes itself, and labels (N,).

    A dataset is one file in datasets/ with a class that defines `store_name`, `fingerprint` and `decode`, `num_classes`
    if it is known before decoding, and `fetch` if it can be downloaded. Its constructor takes the options that are its
    own, and passes all others on as `**options`.

    With validation_fraction 0, the paper's protocol, all training images are trained on, and the test set can be
    watched during training under the name `test_each_epoch`: nothing may be chosen by it. Above 0 a stratified part of
    the training set is held out, the same for every seed, and called `val`. A dataset that has validation images of its
    own (`has_validation_split`) uses these instead.

    Args:
        root: Folder of the dataset's files.
        batch_size: Images in a batch, over all devices.
        validation_fraction: Share of each class's training images that is held out, in [0, 1).
        test_each_epoch: Whether the test set is watched during training where nothing is held out.
        crop_padding: Pixels by which training images are padded before a random crop; 0 for no cropping.
        horizontal_flip: Whether half of the training images are mirrored.
        download: Whether the dataset may be downloaded if it is not in root.
        packed_dir: Folder of the packed images, for a root that is read-only or full; None for root/.packed.
        on_device: Whether the packed images are copied once to the device that trains, and batches taken out there;
            they must fit into its memory. Batches are the same either way.
        evaluation_batch_size: Images in a batch of a validation, test or prediction, over all devices, which
            limit_val_batches and its kind count. Results differ by rounding only. None for batch_size, or on a GPU, if
            no limit is set, for more; see `loader.size_for_gpus`. A batch too large for a GPU's memory is halved.
        seed: Of the training order and the augmentation; the command line takes it from seed_everything.

    Attributes:
        store_name: Name of the packed store's folder; it differs wherever images or labels differ.
        where_to_get_it: What the user can do if the source is not in root; ends the sentence `… is not in ROOT/; `.
        fit: How images of another shape than image_shape get there; see `data.decode`.
        packed_fraction: The share of the training images that decode holds out itself, as the split `val`.
        class_names: The name of each label, after setup.
        num_images: Images in each split, after setup.
        image_shape: (3, H, W), after setup.
        class_counts: (C,) number of training images of each class, after setup.

    Raises:
        UsageError: If an argument is out of its range.
    """

    store_name: str
    where_to_get_it = "name the folder that holds it with --data.root DIR, or download it with --data.download true"
    fit: Fit = "crop"
    packed_fraction = 0.0

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        validation_fraction: float = 0.0,
        test_each_epoch: bool = True,
        crop_padding: int = 4,
        horizontal_flip: bool = True,
        download: bool = False,
        packed_dir: str | None = None,
        on_device: bool = False,
        evaluation_batch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= validation_fraction < 1:
            raise UsageError(
                f"validation_fraction is {validation_fraction}; it is a share of the training images in [0, 1)"
            )
        if batch_size < 2:
            raise UsageError(f"batch_size is {batch_size}; batch normalization needs batches of at least 2 images")
        if evaluation_batch_size is not None and evaluation_batch_size < 1:
            text = f"evaluation_batch_size is {evaluation_batch_size}; a batch holds 1 image or more"
            raise UsageError(f"{text}, and null chooses how many")
        self.root = user_path(root)
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.test_each_epoch = test_each_epoch
        self.augmentation = CropFlip(crop_padding, horizontal_flip) if crop_padding or horizontal_flip else None
        self.download = download
        self.packed_dir = user_path(packed_dir) if packed_dir is not None else self.root / ".packed"
        self._may_be_shared = packed_dir is not None
        self.on_device = on_device
        self.evaluation_batch_size = evaluation_batch_size
        self.seed = seed
        self._manifest: Manifest | None = None
        self._compiled: Callable[..., Tensor] | None = None  # the augmentation

    @property
    def num_classes(self) -> int:
        """C; by default known once the images are packed."""
        return len(self.manifest().class_names)

    @property
    def has_validation_split(self) -> bool:
        """Whether decode gives a split `val` too."""
        return False

    def fingerprint(self) -> dict[str, Any] | None:
        """What identifies the source files (sizes, times, version), or None if they are not there."""
        raise NotImplementedError

    def decode(self, new: NewStore) -> Contents:
        """Put all images into a new store, and return the classes, labels and splits of its rows."""
        raise NotImplementedError

    def fetch(self) -> None:
        """Download the source files into root."""
        raise NotImplementedError

    @property
    def store(self) -> Path:
        """Folder of the packed images; those that an earlier version packed lie in root/packed, without a dot."""
        earlier = self.root / "packed" / self.store_name
        is_by_default = self.packed_dir == self.root / ".packed"
        return earlier if is_by_default and earlier.is_dir() else self.packed_dir / self.store_name

    def prepare_data(self) -> None:
        """Download if asked to and needed, and pack if there is no packed store of these source files."""
        self.manifest()

    def manifest(self) -> Manifest:
        """What the packed images of the present source files are; packs them first if they are not yet packed.

        A UsageError says if there is neither a source nor a packed store and nothing may be downloaded, if the source
        is damaged or cannot be read, or if packed_dir is full or not writable.
        """
        try:
            if self._manifest is None:
                # The run that packs starts from the same weights as every later one with its seed.
                with isolate_rng(include_cuda=False):
                    self._manifest = self._packed() or self._pack()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # which the command says of every path
                raise
            raise UsageError(f"{type(self).__name__} cannot be read: {error}; make its files readable") from error
        return self._manifest

    def _packed(self) -> Manifest | None:
        """The manifest of the packed store, if it was made of the source files as they are now."""
        manifest, fingerprint = read_manifest(self.store), self.fingerprint()
        if fingerprint is None and manifest is None and not self.download:
            older = f" (and {self.store} is of another version or damaged)" if self.store.exists() else ""
            raise UsageError(f"the dataset is not in {self.root}/{older}; {self.where_to_get_it}")
        if manifest is not None and fingerprint != manifest.fingerprint:
            self._check_root(manifest)
        # Without a source, the packed images are all that training needs.
        return manifest if manifest is None or fingerprint in (None, manifest.fingerprint) else None

    def _check_root(self, manifest: Manifest) -> None:
        """Refuse packed images that are neither those of the files in root nor were made of the files there before."""
        root = str(self.root.resolve())
        if self._may_be_shared and manifest.root not in (None, root):
            raise UsageError(
                f"the images packed in {self.store} are those of {manifest.root}, not of {root}; name another folder "
                f"with --data.packed_dir DIR, or use them with --data.root {manifest.root}"
            )

    def _pack(self) -> Manifest:
        with locked(self.store):
            if manifest := self._packed():  # by another process, while this one waited
                return manifest
            if self.fingerprint() is None:
                self.fetch()
            fingerprint = self.fingerprint()
            assert fingerprint is not None
            return write_store(self.store, type(self).__name__, fingerprint, self.decode, self.root)

    def setup(self, stage: str) -> None:
        """Open the packed images and split them."""
        store = self._store = open_store(self.store)
        is_compiled = self.trainer is not None and getattr(self.trainer.lightning_module, "is_compiled", False)
        if is_compiled and self.augmentation is not None:
            self._compiled = compiled(self.augmentation.__call__)
        self._indices = dict(store.splits)
        if "val" in store.splits and self.validation_fraction != self.packed_fraction:
            raise UsageError(
                f"validation_fraction is {self.validation_fraction}, but {type(self).__name__} has validation images "
                "of its own; leave it at 0"
            )
        train = store.splits["train"]
        if "val" not in store.splits and self.validation_fraction:
            rest, held_out = stratified_split(store.labels[train], self.validation_fraction, store.manifest.class_names)
            self._indices |= {"train": train[rest], "val": train[held_out]}
        self._images, self._labels = store.images, store.labels
        if self.on_device and self.trainer is not None:
            self._images, self._labels = to_device(store.images, store.labels, self.trainer.strategy.root_device)
        self.class_names = store.manifest.class_names
        self.num_images = {name: len(rows) for name, rows in self._indices.items()}
        self.image_shape = (3, *store.manifest.image_size)
        side = min(store.manifest.image_size)
        if isinstance(self.augmentation, CropFlip) and self.augmentation.padding >= side:
            text = f"crop_padding is {self.augmentation.padding}; a crop of images with a side of {side} pixels could "
            raise UsageError(f"{text}show none of the image; set --data.crop_padding below {side}", "data.crop_padding")
        self.class_counts = torch.bincount(store.labels[self._indices["train"]], minlength=len(self.class_names))

    def teardown(self, stage: str) -> None:
        """Keep no images on the device beyond what loaders still hold."""
        self._images, self._labels = self._store.images, self._store.labels

    @property
    def validation_stage(self) -> str | None:
        """What each epoch ends with: `val` (held out), `test_each_epoch` (nothing is chosen by it) or None."""
        if self.validation_fraction or self.has_validation_split:
            return "val"
        return "test_each_epoch" if self.test_each_epoch else None

    def image_names(self, split: str) -> list[str]:
        """Return the file of each image of a split, relative to root, in the order in which it is evaluated; after
        setup. Images of a file that holds many are numbered, as in `test.bin/0`."""
        return [printable(name) for name in read_names(self.store, self._indices[split])]

    def stored_images(self, stage: str, rows: Tensor) -> Tensor:
        """Return images that a stage evaluates, `val` or `test_each_epoch`, as stored: uint8 (n, 3, H, W), on the CPU.

        Args:
            rows: (n,) their places in the order in which they are evaluated.
        """
        indices = self._indices["test" if stage == "test_each_epoch" else stage]
        return self._images[indices[rows].to(self._images.device)].cpu()

    def stored_labels(self, split: str, rows: Tensor) -> Tensor:
        """Return the classes (n,) of images by their places in the order in which a split is evaluated, on the CPU."""
        return self._labels[self._indices[split][rows].to(self._labels.device)].cpu()

    @property
    def digest(self) -> str:
        """Tells this data from other data of the same name, on any machine; after setup."""
        return self._store.digest()

    def identity(self) -> TrainedOn:
        """What a checkpoint keeps of this data."""
        manifest, digest = self.manifest(), open_store(self.store).digest()
        moments = list(manifest.mean), list(manifest.std)
        sizes = manifest.image_size, *moments, manifest.num_images
        return TrainedOn(manifest.class_names, *sizes, digest, self.fit, manifest.bits)

    def train_dataloader(self) -> BatchLoader:
        train = self._images, self._labels, self._indices["train"]
        same_batches = self.trainer is not None and self.trainer.overfit_batches > 0
        return BatchLoader(*train, self.batch_size, self.augmentation, self.seed, *self._rank(), same_batches)

    def val_dataloader(self) -> EvaluationLoader | list[EvaluationLoader]:
        if "val" in self._indices:
            return self._evaluation_loader("val", "val")
        if self.trainer is not None and self.trainer.state.fn == "validate":
            raise UsageError(
                f"{type(self).__name__} has no validation images, since validation_fraction is 0; "
                "use `sbn test`, or train with --data.validation_fraction 0.1"
            )
        return self._evaluation_loader("test", "val") if self.test_each_epoch else []

    def test_dataloader(self) -> EvaluationLoader:
        return self._evaluation_loader("test", "test")

    def predict_dataloader(self) -> EvaluationLoader:
        return self._evaluation_loader("test", "predict")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Return the batch as it is if it lies there already, without looking at its parts."""
        is_there = batch.images.device == device
        return batch if is_there else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Augment training images on the device: pixels (N, 3, H, W) uint8, which the model normalizes, and labels
        (N,)."""
        if batch.draws is None or self.augmentation is None:
            return batch.images, batch.labels
        return (self._compiled or self.augmentation)(batch.images, batch.draws), batch.labels

    def _evaluation_loader(self, split: str, stage: str) -> EvaluationLoader:
        """The images of a split, as the trainer's setting limit_STAGE_batches counts them."""
        indices, (rank, world_size) = self._indices[split], self._rank()
        size = self.evaluation_batch_size or self.batch_size
        if self.evaluation_batch_size is None and self.trainer is not None:
            limit = getattr(self.trainer, f"limit_{stage}_batches")
            is_whole = isinstance(limit, float) and limit == 1  # the integer 1 is one batch
            if is_whole and self.trainer.strategy.root_device.type == "cuda":
                numbers = max(math.prod(self.image_shape[1:]), len(self.class_names))
                size = size_for_gpus(self.batch_size, len(indices), numbers, world_size)
        return EvaluationLoader(self._images, self._labels, indices, size, rank, world_size)

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
