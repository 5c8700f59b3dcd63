"""The keys that people use first, with what they mean: the table behind `sbn fit --help`. No torch."""

from typing import Any, NamedTuple

FIT = ("fit",)
EVALUATION = ("validate", "test")
TRAINER = (*FIT, *EVALUATION)
ALL = (*TRAINER, "prepare")
REQUIRED = "required"
"""In place of a default, where a config or an option has to give a value."""


class Key(NamedTuple):
    """A key of a config, which is also an option of the command line."""

    name: str
    default: Any
    text: str
    commands: tuple[str, ...] = FIT  # in whose help it stands


KEYS = (
    Key("data", REQUIRED, "Digits, CIFAR100, TinyImageNet, FaceScrub, ImageFolder", (*FIT, "prepare")),
    Key("data.root", "data", "Folder of the images", ALL),
    Key("data.download", False, "Whether CIFAR100 or TinyImageNet is downloaded", ALL),
    Key("data.packed_dir", None, "Folder of the decoded images; null: in data.root", ("prepare",)),
    Key("data.batch_size", 128, "Images in a step, over all devices"),
    Key("data.validation_fraction", 0.0, "Share of the training images that is held out"),
    Key("data.evaluation_batch_size", None, "Images at a time; null: data.batch_size, or more", EVALUATION),
    Key("model.backbone", REQUIRED, "ResNet18, ResNet50, ResNeXt29, DenseNetBC, SmallCNN, …"),
    Key("model.head", REQUIRED, "SoftmaxHead, ScaledBatchNormHead, AMSoftmaxHead, …"),
    Key("model.compile_backbone", False, "Faster on a GPU, after a minute of compilation"),
    Key("optimizer", None, "SGD, AdamW, … of torch.optim"),
    Key("optimizer.lr", REQUIRED, "Learning rate at the start"),
    Key("lr_scheduler", None, "MultiStepLR, CosineAnnealingLR, … of torch"),
    Key("trainer.max_epochs", None, "Passes over the training images; null: 1000"),
    Key("trainer.devices", "auto", "Number of GPUs (without any: of CPU processes)", TRAINER),
    Key("trainer.precision", None, "null: 32-true; bf16-mixed is faster on a GPU", TRAINER),
    Key("trainer.fast_dev_run", False, "Whether to try one batch only, and write nothing", TRAINER),
    Key("seed_everything", 0, "Seed of everything random"),
    Key("run_dir", None, "Folder of the run; null: runs/NAME", TRAINER),
    Key("ckpt_path", None, "last, best or a file: where to continue"),
    Key("ckpt_path", None, "last, best or a file; null: last", EVALUATION),
    Key("auto_resume", False, "Whether to continue the run, if it is there"),
    Key("allow_other_data", False, "Whether the data may differ from the training's", EVALUATION),
)
"""In the order in which a help shows them."""

CHOSEN = {"data": "data/datasets", "model.backbone": "backbones", "model.head": "heads"}
"""{key whose value is a class: the folder of the package in which the classes are defined}."""

SETTINGS = {
    "optimizer": {
        "momentum": "Weight of earlier gradients in a step",
        "weight_decay": "Strength of the L2 penalty on the weights",
    },
    "lr_scheduler": {"milestones": "Epochs after which the learning rate drops", "gamma": "Factor by which it drops"},
}
"""{key whose value is a class of torch: what its usual settings mean}."""
