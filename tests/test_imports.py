"""Who may import whom: the table of the design, held by walking the imports of every file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sbn_lightning"
FILES = sorted(PACKAGE.rglob("*.py"))

# What each folder or file of the package may import, besides the standard library and its own folder.
ALLOWED = {
    "errors": set(),
    "terminal": {"rich", "sbn_lightning.shell"},
    "shell": set(),
    "config_files": {"yaml", "sbn_lightning.errors"},
    "run": {"numpy", "scipy", "msgspec", "filelock", "sbn_lightning.errors"},
    "figures": {"numpy", "matplotlib"},
    "tensorboard": {"torch", "lightning", "tensorboard", "sbn_lightning.run"},
    "heads": {"torch", "torchvision"},
    "backbones": {"torch", "torchvision"},
    "data": {
        *("torch", "torchvision", "lightning", "numpy", "PIL", "simplejpeg", "sklearn", "rich", "filelock", "msgspec"),
        "pillow_heif",  # if it is installed
        *("sbn_lightning.acceleration", "sbn_lightning.errors", "sbn_lightning.run", "sbn_lightning.terminal"),
    },
    "metrics": {"torch", "lightning", "torchmetrics", "sbn_lightning.run"},
    "classifier": {
        *("torch", "lightning", "sbn_lightning.errors", "sbn_lightning.metrics"),
        *("sbn_lightning.heads.base", "sbn_lightning.backbones.base"),
        *(
            "sbn_lightning.acceleration",
            "sbn_lightning.memory",
            "sbn_lightning.step_graph",
            "sbn_lightning.run.measures",
        ),
        *("sbn_lightning.checkpointing.checkpoint_file", "sbn_lightning.checkpointing.lightning_internals"),
        *("sbn_lightning.checkpointing.stored_classes", "sbn_lightning.sharding"),
        *("msgspec", "sbn_lightning.normalization", "sbn_lightning.prediction", "sbn_lightning.run.identity"),
    },
    "normalization": {"torch", "sbn_lightning.errors", "sbn_lightning.run.identity"},
    "prediction": {
        *(
            "torch",
            "numpy",
            "PIL",
            "sbn_lightning.data.decode",
            "sbn_lightning.data.levels",
            "sbn_lightning.data.sources",
        ),
        *("sbn_lightning.errors", "sbn_lightning.run.identity"),
    },
    "sharding": {"torch", "lightning", "sbn_lightning.errors", "sbn_lightning.heads"},
    "acceleration": {"torch", "lightning"},
    "memory": {"torch"},
    "step_graph": {"torch", "lightning", "sbn_lightning.errors"},
    "callbacks": {
        *("torch", "lightning", "torchmetrics", "numpy", "rich"),
        *("sbn_lightning.errors", "sbn_lightning.figures", "sbn_lightning.metrics", "sbn_lightning.run"),
        *("sbn_lightning.terminal", "sbn_lightning.checkpointing.lightning_internals"),
        *("sbn_lightning.tensorboard", "sbn_lightning.sharding.tensors"),
    },
    "checkpointing": {
        *("torch", "torchmetrics", "lightning", "numpy", "msgspec", "sbn_lightning.errors", "sbn_lightning.run"),
        *("rich", "sbn_lightning.config_files", "sbn_lightning.terminal"),
    },
    "deploy": {
        *("torch", "numpy", "scipy", "PIL", "jsonargparse", "yaml", "jinja2", "rich", "msgspec"),
        *("onnx", "onnxruntime", "safetensors"),  # the extra `export`, imported where they are used
        *("sbn_lightning.backbones", "sbn_lightning.heads", "sbn_lightning.classifier", "sbn_lightning.checkpointing"),
        *("sbn_lightning.config_files", "sbn_lightning.data", "sbn_lightning.errors", "sbn_lightning.run"),
        *("sbn_lightning.terminal", "sbn_lightning.figures", "sbn_lightning.report", "sbn_lightning.shell"),
        "sbn_lightning.metrics",
    },
    "reproduce": {
        *("numpy", "submitit", "rich", "msgspec", "yaml"),
        *("sbn_lightning.config_files", "sbn_lightning.errors", "sbn_lightning.run", "sbn_lightning.terminal"),
    },
    "report": {
        *("numpy", "scipy", "jinja2", "markupsafe"),
        *("sbn_lightning.errors", "sbn_lightning.figures", "sbn_lightning.run", "sbn_lightning.terminal"),
    },
}
EVERYTHING = {"cli", "__init__", "__main__"}  # the command line may import the whole package


def imports(source: str, package: str) -> set[str]:
    """The absolute names that a file of `package` imports: `from a.b import c` is a.b.c."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *filter(None, [node.module])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def is_within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(f"{allowed}.")


def test_imports_are_read_as_absolute_names() -> None:
    source = "import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\ndef late():\n    import h"
    assert imports(source, "sbn_lightning.heads") == {"a.b", "c.d", "sbn_lightning.heads.e", "sbn_lightning.f.g", "h"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_imports_only_what_the_design_allows(path: Path) -> None:
    home = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if home in EVERYTHING:
        return
    assert home in ALLOWED, f"{home} has no row in the design's table of imports: add one to both"
    allowed = {*ALLOWED[home], f"sbn_lightning.{home}"}
    package = ".".join(path.relative_to(ROOT).parent.parts)
    forbidden = {
        name
        for name in imports(path.read_text(encoding="utf-8"), package)
        if name.split(".")[0] not in sys.stdlib_module_names and not any(is_within(name, a) for a in allowed)
    }
    assert not forbidden, f"{home} may import only {sorted(allowed)}"


def test_importing_the_package_does_not_import_torch() -> None:
    check = "import sys, sbn_lightning; print(sorted({'torch', 'lightning', 'numpy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
