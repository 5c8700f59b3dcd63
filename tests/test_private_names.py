"""Private names of other libraries: used in one module a library, and each of them still there."""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import lightning
import pytest
import torch
import torchmetrics
from lightning.pytorch import Trainer

import sbn_lightning

PACKAGE = Path(sbn_lightning.__file__).parent
LIBRARY_OF = {
    "checkpointing/lightning_internals.py": "lightning and torchmetrics",
    "cli/parser.py": "jsonargparse",
    "deploy/inference.py": "torch",
}
"""The modules that may use private names, and of which library."""
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if str(path.relative_to(PACKAGE)) not in LIBRARY_OF]
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "_exit"}  # of named tuples and of os


OWN = {"sbn_lightning", *sys.stdlib_module_names}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def private_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of each private name of something else than the class that uses it."""
    tree = ast.parse(source)
    own = {id(node): own_names(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    yield from _private_names(tree, set(), own)


def own_names(node: ast.ClassDef) -> set[str]:
    """The names that a class defines: methods, fields, and attributes that it sets on itself."""
    names = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
    for item in ast.walk(node):
        if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store) and ast.unparse(item.value) == "self":
            names.add(item.attr)
        elif isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store):
            names.add(item.id)
    return names


def _private_names(node: ast.AST, defined: set[str], own: dict[int, set[str]]) -> Iterator[tuple[int, str]]:
    defined = own.get(id(node), defined)
    if isinstance(node, ast.Attribute) and is_private(node.attr):
        if not (ast.unparse(node.value) in ("self", "cls") and node.attr in defined):
            yield node.lineno, node.attr
    elif isinstance(node, ast.Import | ast.ImportFrom):
        module = [getattr(node, "module", None) or ""]
        for name in [part for alias in node.names for part in ".".join([*module, alias.name]).split(".")]:
            if is_private(name):
                yield node.lineno, name
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
        yield from ((node.lineno, name) for name in map(constant, node.args[1:2]) if is_private(name))
    for child in ast.iter_child_nodes(node):
        yield from _private_names(child, defined, own)


def constant(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def test_private_names_are_found() -> None:
    source = "import a._b\nfrom c import _d\nx._e\ngetattr(x, '_f')\nclass G:\n  def h(self):\n    self._i = self._j"
    assert [name for _, name in private_names(source)] == ["_b", "_d", "_e", "_f", "_j"]
    assert not list(private_names("class G:\n  def _h(self):\n    self._h()\n    row._replace(a=1)\n    x.__class__"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_uses_no_private_name_of_another_library(path: Path) -> None:
    found = [f"{path}:{line}: {name}" for line, name in private_names(path.read_text(encoding="utf-8"))]
    assert not found, f"private names of a library are used in {', '.join(LIBRARY_OF)} only"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_class_overrides_no_private_method_of_a_library(path: Path) -> None:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    module = importlib.import_module(name.removesuffix(".__init__")) if path.stem != "__main__" else None
    for kind in vars(module).values() if module else ():
        if inspect.isclass(kind) and kind.__module__ == name:
            bases = [base for base in kind.__mro__ if base.__module__.split(".")[0] not in OWN]
            names = {name for base in bases for name in vars(base) if is_private(name)}
            methods = {name for name, value in vars(kind).items() if inspect.isfunction(value)}
            assert not names & methods, f"{kind.__name__} overrides private methods of its base class"


def relied_on(module: str) -> set[str]:
    """The private names in a module of LIBRARY_OF."""
    return {name for _, name in private_names((PACKAGE / module).read_text(encoding="utf-8"))}


def test_lightning_still_has_the_parts_that_checkpointing_relies_on() -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    epochs, steps = trainer.fit_loop, trainer.fit_loop.epoch_loop
    hparams = sys.modules["lightning.pytorch.core.mixins.hparams_mixin"]
    objects = (trainer, epochs, steps, hparams, torchmetrics.MeanMetric())
    inside = {  # not private by name, but parts of the loops that no documentation promises
        epochs: ("reset", "on_advance_end", "epoch_progress"),
        steps: ("on_advance_end", "restarting", "done", "val_loop"),
        steps.val_loop: ("restarted_mid_evaluation", "batch_progress"),
        trainer._signal_connector: ("register_signal_handlers",),
    }
    missing = {name for name in relied_on("checkpointing/lightning_internals.py") if not has_any(objects, name)}
    missing |= {name for where, names in inside.items() for name in names if not hasattr(where, name)}
    assert not missing, (
        f"lightning {lightning.__version__}, or torchmetrics {torchmetrics.__version__}, has no "
        f"{', '.join(sorted(missing))}, on which a bit-identical resume relies: adapt "
        "sbn_lightning/checkpointing/lightning_internals.py, or keep lightning 2.6"
    )


def test_torch_still_has_the_hooks_of_a_module() -> None:
    assert {name for name in relied_on("deploy/inference.py") if not hasattr(torch.nn.Identity(), name)} == set()


def has_any(objects: tuple[object, ...], name: str) -> bool:
    return any(hasattr(thing, name) for thing in objects)
