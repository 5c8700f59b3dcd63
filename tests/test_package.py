"""The package as its users get it: its public names, and the wheel in an environment of its own."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import sbn_lightning

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command as a user of another environment would, and return its output."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    assert result.returncode == 0, f"{' '.join(map(str, command))} exited with {result.returncode}:\n{result.stdout}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.parametrize("name", sbn_lightning.__all__)
def test_public_name_loads_and_is_listed(name: str) -> None:
    assert getattr(sbn_lightning, name) is not None
    assert name in dir(sbn_lightning)


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sbn_lightning' has no attribute 'ResNet19'"):
        sbn_lightning.ResNet19  # noqa: B018


def test_wheel_carries_every_config(wheel: Path) -> None:
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".yaml")}
    configs = ROOT / "configs"
    assert shipped == {f"sbn_lightning/configs/{path.relative_to(configs)}" for path in configs.rglob("*.yaml")}
    assert "sbn_lightning/configs/digits_sbn.yaml" in shipped


def test_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=elsewhere)
    binaries = environment / "bin"
    run(
        sys.executable, "-m", "pip", "--python", environment, "install", "--no-deps", "--no-index", wheel, cwd=elsewhere
    )
    # The dependencies are borrowed from this environment; a folder named in a .pth file has its own .pth files ignored,
    # so the editable install of this repository stays out.
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    imported = run(binaries / "python", "-c", "import sbn_lightning; print(sbn_lightning.__file__)", cwd=elsewhere)
    assert Path(imported.strip()).is_relative_to(environment)

    results = elsewhere / "results"
    run(
        binaries / "sbn", "fit", "--config", "digits_sbn", "--trainer.max_epochs", "1", "--run_dir", results,
        "--trainer.limit_train_batches", "1",
        cwd=elsewhere,
    )  # fmt: skip
    assert any(results.rglob("*.ckpt"))
