"""A grid of the user's, from a YAML file: configs × backbones × heads × seeds.

`sbn reproduce --help` shows an example with all keys; it is the docstring of `command.reproduce`.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sbn_lightning.config_files import find_config, read_yaml
from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.reproduce.fit_options import absolute_config
from sbn_lightning.reproduce.grid import SEEDS, make_run
from sbn_lightning.run.records import PlannedRun

Text = Annotated[str, Meta(min_length=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
OneOrMore = Meta(min_length=1)


class Labelled(msgspec.Struct, forbid_unknown_fields=True):
    """An entry whose label names a folder."""

    label: str | None = None

    def __post_init__(self) -> None:
        if self.label is not None and (not re.fullmatch(r"[\w.,=+-]+", self.label, re.A) or set(self.label) == {"."}):
            raise ValueError(
                f"label {self.label!r} cannot name a folder: use letters, digits and the characters . , = + _ - only"
            )


class ConfigEntry(Labelled, kw_only=True):
    """An entry of `configs`."""

    config: Text


class HeadEntry(Labelled, kw_only=True):
    """An entry of `heads`."""

    name: Text = msgspec.field(name="class")
    settings: dict[str, Any] = {}
    tuned_on: Text = "nothing"
    declared: bool = True


class GridFile(msgspec.Struct, forbid_unknown_fields=True):
    """A grid file."""

    configs: Annotated[list[Text | ConfigEntry], OneOrMore]
    backbones: Annotated[list[Text], OneOrMore] | None = None
    heads: Annotated[list[Text | HeadEntry], OneOrMore] | None = None
    seeds: Annotated[list[Seed], OneOrMore] = msgspec.field(default_factory=lambda: list(SEEDS))
    options: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different, but are {self.seeds}")


KEYS = [field.encode_name for kind in (GridFile, ConfigEntry, HeadEntry) for field in msgspec.structs.fields(kind)]


def grid_from_file(path: Path) -> list[PlannedRun]:
    """Return the runs of a grid file.

    Raises:
        UsageError: If something in the file is not as it is described above; names the place and the rule.
    """
    try:
        grid = msgspec.convert(read_yaml(path), GridFile)
    except msgspec.ValidationError as error:
        unknown = re.search(r"unknown field `(.*?)`", str(error))
        hint = did_you_mean(unknown[1], KEYS) if unknown else ""
        text = f"{path}: {error}{hint} ($ is the whole file; sbn reproduce --help shows an example)"
        raise UsageError(text) from error
    options = {key: _as_option(value) for key, value in grid.options.items()}
    runs = [
        _run(path, config, backbone, head, seed, options)
        for seed in grid.seeds
        for config in grid.configs
        for backbone in grid.backbones or (None,)
        for head in grid.heads or (None,)
    ]
    seen: dict[str, PlannedRun] = {}
    for run in runs:
        if (other := seen.setdefault(run.folder, run)) is not run:
            raise UsageError(
                f"two runs would have the folder {run.folder}: sbn fit {' '.join(other.arguments)} and sbn fit "
                f"{' '.join(run.arguments)}; give them different labels"
            )
    return runs


def _run(
    path: Path, config: str | ConfigEntry, backbone: str | None, head: str | HeadEntry | None, seed: int,
    options: dict[str, str],
) -> PlannedRun:  # fmt: skip
    """One run. Where heads are listed, a config's label (or its name) is the dataset's; else it is the head's."""
    config = ConfigEntry(config=config) if isinstance(config, str) else config
    head = HeadEntry(name=head) if isinstance(head, str) else head
    beside = path.parent / config.config
    file = str(beside) if beside.is_file() else config.config
    name = config.label or Path(find_config(file)).stem
    file = absolute_config(file)
    chosen = {"model.backbone": backbone} if backbone else {}
    if head is None:
        return make_run(file, chosen | options, seed, label=name)
    chosen["model.head"] = head.name
    chosen |= {f"model.head.init_args.{key}": _as_option(value) for key, value in head.settings.items()}
    label = head.label or head.name.rpartition(".")[2]
    return make_run(file, chosen | options, seed, label, name, name, head.tuned_on, head.declared)


def _as_option(value: Any) -> str:
    """A value as it is written on a command line."""
    return value if isinstance(value, str) else json.dumps(value)
