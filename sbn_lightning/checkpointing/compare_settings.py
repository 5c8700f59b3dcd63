"""What a run must have in common with the checkpoint it continues, and what may change."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from sbn_lightning.errors import UsageError

Differences: TypeAlias = dict[str, tuple[Any, Any]]
"""{option: (value there, value here)}."""

ANYWHERE = {"root", "packed_dir", "download", "test_each_epoch", "on_device"}
"""Settings of the data that change neither the training images nor their order."""

TRAINER_SETTINGS = (
    "max_epochs",
    "max_steps",
    "devices",
    "precision",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "val_check_interval",
    "deterministic",
    "benchmark",
)
"""Settings of the trainer that change what it computes, so that a change is printed."""

NAMES = {
    "optimizer.lr": "learning rate",
    "optimizer.weight_decay": "weight decay",
    "trainer.max_epochs": "epochs",
    "trainer.max_steps": "steps",
    "trainer.devices": "devices",
}


def run_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run keeps of a command's config in its checkpoints, for comparison: {option: value}."""
    sections = {name: config.get(name) or {} for name in ("data", "optimizer", "lr_scheduler")}
    trainer = {key: config["trainer"][key] for key in TRAINER_SETTINGS}
    flat = flatten(sections | {"trainer": trainer})
    return {key.replace(".init_args.", "."): value for key, value in flat.items()}


def changes(path: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> Differences:
    """Return what differs between the settings of a run so far, whose checkpoint is at path, and a command's.

    Raises:
        UsageError: If the data or the class of the optimizer differ.
    """
    different = differences(there, here)
    if fixed := {key: pair for key, pair in different.items() if is_fixed(key)}:
        raise UsageError(
            f"{path} is a checkpoint of another training: {listed(fixed)}; use the config it was started with, or "
            "train into another folder with --run_dir DIR"
        )
    return {key: pair for key, pair in different.items() if not key.startswith("data.")}


def is_fixed(key: str) -> bool:
    """Whether a training can only be continued with the setting it was started with."""
    section, _, name = key.partition(".")
    return key == "optimizer.class_path" or (section == "data" and name not in ANYWHERE)


def changes_text(different: Differences) -> str:
    """Return changes as text: `learning rate 0.1 → 0.05, epochs 2 → 3`."""
    return ", ".join(f"{NAMES.get(key, key)} {there} → {here}" for key, (there, here) in different.items())


def differences(there: Mapping[str, Any], here: Mapping[str, Any], prefixes: str | tuple[str, ...] = "") -> Differences:
    """Return {key: (there, here)} of the keys that start with one of the prefixes and whose values differ."""
    pairs = {key: (there.get(key), here.get(key)) for key in sorted({**there, **here}) if key.startswith(prefixes)}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def listed(different: Differences) -> str:
    """Return differences as text: `data.batch_size is 128 there, 64 here`."""
    return "; ".join(f"{key} is {there!r} there, {here!r} here" for key, (there, here) in different.items())


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
