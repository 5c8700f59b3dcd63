"""Training, test and report need nothing that only Unix has."""

import ast
import subprocess
import sys
from pathlib import Path

import sbn_lightning

PACKAGE = Path(sbn_lightning.__file__).parent
UNIX_ONLY = ("fcntl", "resource", "termios", "pwd", "grp")

# Run as a program: refuses these modules to the package's own code, as Windows would, and trains on the digits.
PROGRAM = f"""
import builtins

allowed = builtins.__import__

def import_as_on_windows(name, globals=None, *arguments, **options):
    if name in {UNIX_ONLY} and (globals or {{}}).get("__name__", "").startswith("sbn_lightning"):
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return allowed(name, globals, *arguments, **options)

builtins.__import__ = import_as_on_windows
from sbn_lightning.cli.commands import main

small = [
    "--model.backbone.width=4", "--trainer.max_epochs=1", "--trainer.limit_train_batches=1",
    "--trainer.enable_progress_bar=false",
]
main(["fit", "--config=digits_sbn", "--run_dir=runs/a", *small])
main(["test", "--config=runs/a"])
main(["report", "runs"])
main(["reproduce", "--dry-run"])
"""


def test_digits_train_test_and_report_without_modules_of_unix(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs/a/test.npz").is_file()
    assert (tmp_path / "runs/report/report.md").is_file()


def test_quotes_are_around_whole_annotations_since_python_3_10_does_not_look_into_list() -> None:
    found = [
        f"{path}:{entry.lineno}: {ast.unparse(entry.annotation)}"
        for path in PACKAGE.rglob("*.py")
        for kind in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(kind, ast.ClassDef)
        for entry in kind.body
        if isinstance(entry, ast.AnnAssign)
        for part in ast.walk(entry.annotation)
        if isinstance(part, ast.Subscript) and ast.unparse(part.value) in ("list", "dict", "tuple", "set")
        if any(isinstance(inner, ast.Constant) and isinstance(inner.value, str) for inner in ast.walk(part.slice))
    ]
    assert found == [], 'write "list[Name]" in place of list["Name"]'
