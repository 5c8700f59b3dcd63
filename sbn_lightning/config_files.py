"""Where configs lie, and which files a config is made of."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sbn_lightning.errors import UsageError, did_you_mean, named

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
HEADS = ("softmax", "sbn", "am_softmax", "pedcc")
"""The paper's heads in the shipped configs, which are named DATASET_HEAD."""
MORE_HEADS = (
    "learned_scale", "batch_norm", "scheduled_scale", "running_statistics", "balanced_moments",
    "logit_norm", "center_loss", "normface", "arc_face", "l_softmax", "a_softmax",
)  # fmt: skip
"""Further heads, with configs for some of the datasets."""


def config_folder() -> Path:
    """Return the folder of the shipped configs: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def shipped_configs() -> dict[str, Path]:
    """Return {name: file} of the configs that come with sbn."""
    return {path.stem: path for path in sorted(config_folder().glob("*.yaml"))}


def find_config(name: str) -> str:
    """Return the path of a config, given its path, the folder of a run, or the name of a shipped config.

    A config given as YAML text (`{...}`) is returned as it is. Without such a config, there is a UsageError.
    """
    name = os.path.expanduser(name)
    if name.lstrip().startswith("{") or Path(name).is_file():
        return name
    if (Path(name) / "config.yaml").is_file():
        return str(Path(name) / "config.yaml")
    shipped = shipped_configs()
    if name in shipped:
        return str(shipped[name])
    raise UsageError(why_no_config(name))


def why_no_config(name: str) -> str:
    """Say what there is instead of a config that is not found."""
    path, shipped = Path(name), shipped_configs()
    if path.suffix == ".ckpt":
        return f"{name} is a checkpoint: name the folder of its run with --config DIR, and the file with --ckpt_path"
    if path.is_dir():
        return f"{name} is not the folder of a run, which has a config.yaml ({other_runs(path)})"
    if os.sep in name and path.suffix not in (".yaml", ".yml"):
        close = did_you_mean(name, runs_in(path.parent))
        return f"there is no run in {name}{close} ({other_runs(path.parent)})"
    return f"there is no config {name!r}{did_you_mean(path.stem, shipped)} ({shipped_text()})"


def shipped_text() -> str:
    """Say which configs come with sbn."""
    pairs = [split_name(name) for name in shipped_configs()]
    datasets = dict.fromkeys(dataset for dataset, head in pairs if head)
    heads = [head for head in (*HEADS, *MORE_HEADS) if any(head == there for _, there in pairs)]
    return f"sbn comes with DATASET_HEAD for {', '.join(datasets)} and {', '.join(heads)}, such as digits_sbn"


def split_name(config: str) -> tuple[str, str]:
    """Return the dataset and the head of a config's name: digits_am_softmax -> digits, am_softmax; fast -> fast, ""."""
    heads = [head for head in sorted((*HEADS, *MORE_HEADS), key=len, reverse=True) if config.endswith(f"_{head}")]
    return (config.removesuffix(f"_{heads[0]}"), heads[0]) if heads else (config, "")


def other_runs(folder: Path) -> str:
    """Say which runs there are in a folder, or else in runs/, those of the latest start first."""
    found = runs_in(folder) or runs_in(Path("runs"))
    return f"the runs here are {named(found)}" if found else "there is no run here yet: sbn fit --config digits_sbn"


def runs_in(folder: Path) -> list[str]:
    """Return the folders of the runs that lie directly in a folder, those of the latest start first."""
    configs = sorted(folder.glob("*/config.yaml"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [str(file.parent) for file in configs]


def files_of(config: Path) -> list[Path]:
    """Return the YAML files that a config is made of: itself, and every file that one of them names relative to itself.

    One that cannot be read, or is not YAML, is a UsageError.
    """
    files = [config]
    for file in files:  # which grows meanwhile
        named = (file.parent / text for text in _texts(read_yaml(file)) if text.endswith((".yaml", ".yml")))
        files += dict.fromkeys(path for path in named if path.is_file() and path not in files)
    return files


def read_yaml(file: Path) -> Any:
    """Return the content of a YAML file; a UsageError says why it cannot be read, or is not YAML."""
    try:
        text = file.read_text(encoding="utf-8")
        _check_keys(yaml.compose(text, LOADER))
        return _values(text)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UsageError(f"{file} is not valid YAML{line}: {problem}") from error


def _values(text: str) -> Any:
    """Return the content of a YAML text. PyYAML raises several kinds of errors for `!!int x` and 2026-99-99."""
    try:
        return yaml.load(text, LOADER)
    except (ValueError, LookupError, AttributeError) as error:
        raise yaml.YAMLError(f"a value does not fit its tag, or is not a date: {error}") from error


def _check_keys(root: yaml.Node | None) -> None:
    """Refuse a key that stands twice in a set of settings, of which YAML's loaders would take the last one only."""
    nodes, known = [root], set[int]()
    while nodes:
        node = nodes.pop()
        if id(node) in known:  # by an alias
            continue
        known.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            nodes += [value for _, value in node.value]
            names = set[Any]()
            for name, _ in node.value:
                if isinstance(name.value, str) and name.value in names:
                    problem = f"the key {name.value!r} stands there for the second time"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=name.start_mark)
                names |= {name.value} if isinstance(name.value, str) else set()


def _texts(value: Any) -> Iterator[str]:
    """Every string among the values of a YAML document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _texts(entry)
