"""Seeded changes of configs: other classes, other arguments, other values, keys elsewhere, other YAML text."""

import ast
import contextlib
import copy
import functools
import inspect
import random
import re
from collections.abc import Callable
from typing import Any

import lightning.pytorch.plugins
import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sbn_lightning.backbones import Backbone
from sbn_lightning.callbacks import ChanceLevel
from sbn_lightning.checkpointing.save import CheckpointRule
from sbn_lightning.config_files import shipped_configs
from sbn_lightning.data import ImageDataModule
from sbn_lightning.heads import Head
from tests.soak.changes import VALUES, change, damage, places

Config = dict[str, Any]

USUAL: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 3, 10, -1, 0.0, 0.1, 0.5, 0.9, 1.0, 1.5, 1e-3, 1e-8, "auto", "min", "max", "step",
    "epoch", "train/loss", "val/accuracy", "test_each_epoch/loss", "train/accuracy", "mean", "cpu", "linear", "x",
    "bf16-mixed", "00:00:01:00", [1, 2], [0.1, 0.2], [0.9, 0.999], [], {}, {"1": 2}, {0: 2, 1: 1}, ["val/loss"],
)  # fmt: skip
"""Values that arguments of Lightning and torch have; `changes.VALUES` are those that none has."""
SECTIONS: dict[str, type | None] = {
    "trainer.callbacks": Callback, "trainer.logger": Logger, "trainer.profiler": Profiler, "trainer.plugins": None,
    "optimizer": Optimizer, "lr_scheduler": LRScheduler,
    "model.backbone": Backbone, "model.head": Head, "data": ImageDataModule,
}  # fmt: skip
"""{section: base of the classes that can be chosen there}; plugins have none in common."""
OWN = ("backbones", "data", "heads", "callbacks.logit", "callbacks.class_weight")
PUBLIC = ("lightning.", "torch.", *(f"sbn_lightning.{module}" for module in OWN))
"""The modules whose classes users choose; the other callbacks are there in any case."""
SCHEMAS: dict[str, Callable[..., Any]] = {
    "trainer": Trainer.__init__, "checkpoint": CheckpointRule, "chance_level": ChanceLevel
}  # fmt: skip
GIVEN = ("self", "params", "optimizer", "num_features", "num_classes", "root", "packed_dir", "download", "kwargs")
"""Parameters that a changed config does not set; the last ones but one would write elsewhere, or ask the network."""
TAGS = ("&a", "*a", "!!int", "!!python/name:os.system", "!x", "|", "{", "[", "- 1", "<<: 1", "\t", "'", "? a", "%")


def whole(name: str) -> Config:
    """Return a shipped config with its parts in place of their paths, and with a small backbone and the digits."""

    def with_parts(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_parts(entry) for key, entry in value.items()}
        part = folder / "parts" / str(value).removeprefix("parts/")
        return with_parts(yaml.safe_load(part.read_text())) if str(value).endswith(".yaml") else value

    file = shipped_configs()[name]
    folder = file.parent
    config = with_parts(yaml.safe_load(file.read_text()))
    config["model"]["backbone"] = {"class_path": "SmallCNN", "init_args": {"width": 4}}
    return config | {"data": {"class_path": "Digits", "init_args": {"batch_size": 128}}}


@functools.cache
def choices(base: type | None) -> list[type]:
    """Return the classes of a section that are shipped and imported."""
    if base is None:
        return [getattr(lightning.pytorch.plugins, name) for name in sorted(lightning.pytorch.plugins.__all__)]
    found = base.__subclasses__()
    for kind in found:  # which grows meanwhile
        found += [other for other in kind.__subclasses__() if other not in found]
    shipped = [kind for kind in found if kind.__module__.startswith(PUBLIC) and kind.__name__[0] != "_"]
    return sorted(shipped, key=lambda kind: (kind.__module__, kind.__qualname__))


def value_for(parameter: inspect.Parameter, chance: random.Random) -> Any:
    """Return a value for a parameter: mostly one of its type, rarely one that nothing has."""
    literals = re.findall(r"Literal\[(.*?)\]", str(parameter.annotation))
    words = [*re.findall(r"\w+", str(parameter.annotation)), type(parameter.default).__name__]
    alike = [value for value in USUAL if type(value).__name__ in words]
    if literals and chance.random() < 0.8:
        return ast.literal_eval(chance.choice(literals[0].split(", ")))
    values = VALUES if chance.random() < 0.07 else alike if alike and chance.random() < 0.85 else USUAL
    return copy.deepcopy(chance.choice(values))


def arguments(function: Callable[..., Any], chance: random.Random) -> Config:
    """Return arguments for a function: those that are required, and a few others."""
    parameters = [one for one in inspect.signature(function).parameters.values() if one.name not in GIVEN]
    parameters = [one for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    required = [one for one in parameters if one.default is one.empty]
    others = [one for one in parameters if one.default is not one.empty]
    chosen = required + chance.sample(others, min(len(others), chance.choice([0, 1, 1, 2, 3])))
    return {one.name: value_for(one, chance) for one in chosen}


def other_class(config: Config, chance: random.Random) -> None:
    """Choose another class in a section, with arguments of its own; or add one to a list of classes."""
    key, base = chance.choice(list(SECTIONS.items()))
    kind = chance.choice(choices(base))
    chosen = {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments(kind, chance)}
    above, _, last = key.rpartition(".")
    section = config[above] if above else config
    section[last] = [*(section.get(last) or []), chosen] if last in ("callbacks", "plugins") else chosen


def other_arguments(config: Config, chance: random.Random) -> None:
    """Set arguments of the trainer, of a rule, or of a class that is chosen already."""
    name = chance.choice([*SCHEMAS, "trainer", "trainer", "data"])
    if name == "data":
        config["data"]["init_args"] |= arguments(ImageDataModule, chance)
    else:
        config[name] = (config.get(name) or {}) | arguments(SCHEMAS[name], chance)


def other_values(config: Config, chance: random.Random) -> None:
    """Replace, remove or add values anywhere."""
    change(config, chance)


def other_places(config: Config, chance: random.Random) -> None:
    """Write a key in another section."""
    *above, last = chance.choice([place for place in places(config) if isinstance(place[-1], str)])
    value = functools.reduce(lambda part, key: part[key], above, config).pop(last)
    chance.choice([config, *(part for part in config.values() if isinstance(part, dict))])[last] = value


CHANGES = [other_class] * 6 + [other_arguments] * 4 + [other_values] * 2 + [other_places]


def changed(config: Config, chance: random.Random) -> bytes:
    """Return the YAML text of a config with one or two changes; the text itself is changed more rarely."""
    for _ in range(chance.choice([1, 1, 1, 2])):
        with contextlib.suppress(KeyError, TypeError, AttributeError, IndexError):  # what an earlier one took away
            chance.choice(CHANGES)(config, chance)
    text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    return changed_text(text, chance) if chance.random() < 0.12 else text.encode("utf-8", "surrogatepass")


def changed_text(text: str, chance: random.Random) -> bytes:
    """Change a YAML text: a line stands there twice, has a tag, or is repeated by an anchor; or change its bytes."""
    lines = text.splitlines(keepends=True)
    number = chance.randrange(len(lines))
    key, _, value = lines[number].rstrip("\n").partition(":")
    ways = [
        lambda: damage(text.encode("utf-8", "surrogatepass"), chance),
        lambda: [*lines[: number + 1], *lines[number:]],
        lambda: [*lines[:number], f"{key}: {chance.choice(TAGS)} {value}\n", *lines[number + 1 :]],
        lambda: [*lines[:number], f"{key}: &a {value}\n", *lines[number + 1 :], "more: *a\n"],
        lambda: text.encode(chance.choice(["utf-16", "utf-8-sig", "utf-32"]), "surrogatepass"),
    ]
    found = chance.choice(ways)()
    return found if isinstance(found, bytes) else "".join(found).encode("utf-8", "surrogatepass")


def option(chance: random.Random) -> list[str]:
    """Return an option of the command line, with a value."""
    section = chance.choice(["trainer", "checkpoint", "data", "model.head", "optimizer", "lr_scheduler"])
    function = SCHEMAS.get(section) or chance.choice(choices(SECTIONS[section]))
    given = {f"{section}.{name}": value for name, value in arguments(function, chance).items()}
    key, value = chance.choice(list((given | {"seed_everything": chance.choice(VALUES)}).items()))
    return [f"--{key}", yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n")]
