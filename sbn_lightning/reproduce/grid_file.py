"""A grid of the user's own, from a YAML file: configs × backbones × heads × seeds.

# birds.yaml:  sbn reproduce --grid birds.yaml --data.root DIR
configs: [image_folder_softmax]     # names or files, relative to this one; or {config: FILE, label: birds}
backbones: [ResNet18, SmallCNN]     # left out: each config's own
heads:                              # left out: each config's own
  - SoftmaxHead
  - class: ScaledBatchNormHead
    label: sbn-3                    # left out: the class
    settings: {scale: 3.0}
    tuned_on: hold-out              # left out: nothing
    declared: true                  # false for what is shown but not compared; left out: true
  - {class: my_heads.MyHead, settings: {width: 2}}
seeds: [0, 1, 2]                    # left out: 0, 1, 2
options: {trainer.max_epochs: 50}   # of sbn fit, for every run
"""

import json
import re
from pathlib import Path
from typing import Any

from sbn_lightning.config_files import find_config
from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.reproduce.grid import Run, check_folders, make_run
from sbn_lightning.reproduce.settings import load, settings_of
from sbn_lightning.reproduce.tables import SEEDS

GRID_KEYS = ("configs", "backbones", "heads", "seeds", "options")
CONFIG_KEYS = ("config", "label")
HEAD_KEYS = ("class", "label", "settings", "tuned_on", "declared")


def grid_from_file(path: Path) -> list[Run]:
    """The runs of a grid file.

    Raises:
        UsageError: If something in it is not as described above; names the key and the rule.
    """
    if not path.is_file():
        raise UsageError(f"there is no grid file {path}")
    grid = section(load(path), GRID_KEYS, str(path))
    configs = [
        section(entry if isinstance(entry, dict) else {"config": entry}, CONFIG_KEYS, f"{path}: configs[{number}]")
        for number, entry in enumerate(listed(grid, "configs", path))
    ]
    heads = [
        section(entry if isinstance(entry, dict) else {"class": entry}, HEAD_KEYS, f"{path}: heads[{number}]")
        for number, entry in enumerate(listed(grid, "heads", path, [{}]))
    ]
    runs = [
        cell(path, config, backbone, head, seed, options_of(grid, path))
        for seed in seeds_of(grid, path)
        for config in configs
        for backbone in listed(grid, "backbones", path, [None])
        for head in heads
    ]
    check_folders(runs)
    return runs


def cell(path: Path, config: dict, backbone: Any, head: dict, seed: int, options: list[str]) -> Run:
    """One run. A config's label, or else its name, tells datasets apart where heads are listed, else heads."""
    file = config_file(path, config.get("config"))
    arguments = ["--config", file]
    if backbone is not None:
        arguments += ["--model.backbone", text(backbone, f"{path}: backbones")]
    if head:
        where = f"{path}: heads"
        arguments += ["--model.head", text(head.get("class"), f"{where}: class")]
        for name, value in mapping(head.get("settings", {}), f"{where}: settings").items():
            arguments += [f"--model.head.init_args.{name}", as_option(value)]
    stem = name_for_folder(config.get("label") or Path(file).stem, f"{path}: configs: label")
    if head:
        label = name_for_folder(head.get("label") or head["class"].rpartition(".")[2], f"{path}: heads: label")
        place, dataset = stem, stem
    else:
        label, dataset = stem, None
        place = str(settings_of(arguments).get("data", stem)).rpartition(".")[2]
    tuned_on = text(head.get("tuned_on", "nothing"), f"{path}: heads: tuned_on")
    declared = head.get("declared", True)
    if not isinstance(declared, bool):
        raise UsageError(f"{path}: heads: declared is {declared!r}; it is true or false")
    return make_run([*arguments, *options], seed, label, place, dataset, tuned_on, declared)


def section(value: Any, keys: tuple[str, ...], where: str) -> dict[str, Any]:
    """A mapping with none but these keys."""
    for key in mapping(value, where):
        if key not in keys:
            raise UsageError(
                f"{where}: there is no key {key!r}{did_you_mean(str(key), keys)}; known: {', '.join(keys)}"
            )
    return value


def mapping(value: Any, where: str) -> dict[str, Any]:
    """A value that must be a mapping."""
    if not isinstance(value, dict):
        raise UsageError(f"{where} is {value!r}; it is a mapping, KEY: VALUE")
    return value


def listed(grid: dict[str, Any], key: str, path: Path, default: list | None = None) -> list:
    """A key that holds a list with something in it; without a default it must be there."""
    value = grid.get(key, default)
    if not isinstance(value, list) or not value:
        raise UsageError(f"{path}: {key} is {value!r}; it is a list with at least one entry")
    return value


def seeds_of(grid: dict[str, Any], path: Path) -> list[int]:
    """Different whole numbers."""
    seeds = listed(grid, "seeds", path, list(SEEDS))
    if not all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise UsageError(f"{path}: seeds is {seeds}; it is a list of different whole numbers from 0 to 2^32 - 1")
    return seeds


def options_of(grid: dict[str, Any], path: Path) -> list[str]:
    """Options of `sbn fit` for all runs."""
    options = mapping(grid.get("options", {}), f"{path}: options")
    return [part for key, value in options.items() for part in (f"--{key}", as_option(value))]


def config_file(path: Path, config: Any) -> str:
    """A config beside the grid file as an absolute path, or else the name of one that find_config knows."""
    name = text(config, f"{path}: configs: config")
    beside = path.parent / name
    if beside.is_file():
        return str(beside.absolute())
    found = find_config(name)
    return str(Path(found).absolute()) if Path(name).exists() else name


def text(value: Any, where: str) -> str:
    """A value that must be a text."""
    if not isinstance(value, str) or not value:
        raise UsageError(f"{where} is {value!r}; it is a text")
    return value


def as_option(value: Any) -> str:
    """A value as it stands on a command line."""
    return value if isinstance(value, str) else json.dumps(value)


def name_for_folder(value: Any, where: str) -> str:
    """A text that can name a folder."""
    if not re.fullmatch(r"[\w.,=+-]+", text(value, where), re.ASCII) or set(value) == {"."}:
        raise UsageError(f"{where} is {value!r}; it names a folder: letters, digits and . , = + _ - only")
    return value
