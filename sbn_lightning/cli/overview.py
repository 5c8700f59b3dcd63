"""What `sbn --help` prints. No torch."""

from collections.abc import Mapping, Sequence

from sbn_lightning import __version__
from sbn_lightning.config_files import HEADS, MORE_HEADS, config_folder, shipped_configs, split_name
from sbn_lightning.shell import typed
from sbn_lightning.terminal import Row, two_columns

TOP = """\
sbn {version}: train image classifiers, and see what their heads do

  sbn COMMAND --config CONFIG [--KEY VALUE ...]
"""
EXAMPLES = """\
  sbn fit --config digits_sbn
  sbn test --config runs/digits_sbn
  sbn fit --config image_folder_sbn --data.root PHOTOS
  sbn fit --config cifar100_sbn --config fast --data.root DIR     (on a GPU)"""


def overview(commands: Mapping[str, str]) -> str:
    """Return the commands with their texts, the shipped configs, and examples."""
    parts = [
        TOP.format(version=__version__),
        rows(*commands.items()),
        "",
        rows(
            ("", "sbn COMMAND --help lists the most common keys, and sbn COMMAND --help all every key."), name_width=0
        ),
        "",
        rows(("", "CONFIG is a YAML file, the folder of a run, or DATASET_HEAD of these:"), name_width=0),
        "",
        *matrix(),
        "",
        *more_heads(),
        "",
        *others(),
        "",
        typed(EXAMPLES),
    ]
    return "\n".join(parts)


def rows(*texts: Row, name_width: int = 14) -> str:
    """Return names and texts in two columns, indented by two."""
    return two_columns(*((f"  {name}", text) for name, text in texts), name_width=name_width + 2)


def matrix() -> list[str]:
    """Return the lines of a table of the shipped configs, a row for each head and a column for each dataset, and what
    the datasets are."""
    there = {split_name(name) for name in shipped_configs()}
    datasets = sorted({dataset for dataset, head in there if head})
    table = [line("", datasets, datasets)]
    for head in HEADS:
        table.append(line(head, ["x" if (dataset, head) in there else "" for dataset in datasets], datasets))
    return [*table, "", *(rows((dataset, title(f"{dataset}_{HEADS[0]}"))) for dataset in datasets)]


def line(name: str, cells: Sequence[str], columns: Sequence[str]) -> str:
    """Return a row of a table, each cell in the middle below its column's name."""
    centered = (f"{cell:^{len(column) + 2}}" for cell, column in zip(cells, columns, strict=True))
    return f"  {name:<14}{''.join(centered)}".rstrip()


def more_heads() -> list[str]:
    """Return the lines that name the heads beside those of the table, and their datasets."""
    there = {split_name(name) for name in shipped_configs()}
    datasets = " and ".join(sorted({dataset for dataset, head in there if head in MORE_HEADS}))
    return [rows(("", f"For {datasets} also:"), name_width=0), rows(("", " ".join(MORE_HEADS)), name_width=2)]


def others() -> list[str]:
    """Return the lines of the shipped configs that are for no dataset, and of the folder of all."""
    names = [name for name in shipped_configs() if not split_name(name)[1]]
    lines = [rows((name, f"{title(name)}; give it as a second config")) for name in names]
    return [*lines, rows(("parts/", f"what the configs share, in {config_folder()}"))]


def title(config: str) -> str:
    """Return the first words of a shipped config, up to a comma, a colon or a period that a space follows."""
    file = shipped_configs().get(config)
    first = file.read_text(encoding="utf-8").partition("\n")[0] if file else ""
    return first.lstrip("# ").replace(". ", ", ").replace(": ", ", ").partition(", ")[0]
