"""Who types what the README says, succeeds."""

import csv
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from real_photos import put_photos

from sbn_lightning import Classifier
from sbn_lightning.cli.commands import COMMANDS, WITH_FIT_OPTIONS
from sbn_lightning.cli.parser import ConfigCLI
from sbn_lightning.cli.signature import call
from sbn_lightning.deploy.export.card import script_of
from sbn_lightning.errors import UsageError
from tests.readme import README, RECORDS, ROOT

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEXT = README.read_text(encoding="utf-8")
PAGES = TEXT + "".join(
    (ROOT / name).read_text(encoding="utf-8") for name in ("configs/README.md", "sbn_lightning/heads/README.md")
)
BLOCKS = [block for language, block in FENCE.findall(PAGES) if language == "bash"]
FIRST_BLOCKS = SEE_IT, OWN_PHOTOS, COMPARE_HEADS = BLOCKS[:3]
OF_A_TRAINED_MODEL = next(block for block in BLOCKS if "sbn export" in block)
SCRIPT, OWN_CODE = (
    next(block for language, block in FENCE.findall(TEXT) if language == "python" and name in block)
    for name in ("onnxruntime", "load_from_checkpoint")
)
INLINE = re.findall(r"(?<!`)`([^`]+)`", FENCE.sub("", PAGES))


def commands() -> Iterator[str]:
    """Each command of `sbn` in the README, on one line."""
    for text in [*(line for block in BLOCKS for line in block.replace("\\\n", "").splitlines()), *INLINE]:
        line = " ".join(text.split()).replace("-m sbn_lightning", "&& sbn").rpartition("&& ")[2]
        if line.startswith("sbn ") and " " in line.removeprefix("sbn ") and not re.search(r"--help|\.help|…", line):
            yield line


class ParsedOnly(ConfigCLI):
    """The parser of `sbn fit`, with all its checks of keys and values, and nothing built."""

    def instantiate_classes(self) -> None:
        pass


def understand(line: str) -> None:
    """Parse a command line as `sbn` does, without carrying it out."""
    words = shlex.split(line.replace("$PHOTOS", "photos"), comments=True)[1:]
    command, arguments = words[0], words[1:]
    if command in WITH_FIT_OPTIONS:
        ParsedOnly(command, arguments)
        return
    module, _, name = COMMANDS[command].function.partition(":")
    function = getattr(import_module(f"sbn_lightning.{module}"), name)
    if command == "reproduce":
        arguments.append("--dry-run")
    else:
        function = functools.wraps(function)(lambda *given, **options: None)
    assert not call(command, function, arguments)


@pytest.fixture
def folder_of_the_readme(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the runs, the grid and the head that the README names."""
    for name in re.findall(r"--config (runs/\w+)", TEXT):
        Path(name).mkdir(parents=True, exist_ok=True)
        shutil.copy(next(RECORDS.glob("digits/**/config.yaml")), name)
    for language, block in FENCE.findall(TEXT):
        if language == "yaml":
            Path("birds.yaml").write_text(block)
        elif "SmoothedHead" in block:
            Path("my_heads.py").write_text(block)
    monkeypatch.syspath_prepend(empty_folder)


@pytest.mark.usefixtures("folder_of_the_readme")
@pytest.mark.parametrize("line", list(dict.fromkeys(commands())))
def test_command_is_understood(line: str) -> None:
    understand(line)


def test_command_with_another_head_than_its_configs_names_a_folder() -> None:
    """Else the run is called after the config's head, and is refused where that head was trained before."""
    lines = [line for line in commands() if line.startswith("sbn fit") and "--model.head " in line]
    assert len(lines) == 2
    assert all("--run_dir" in line for line in lines), lines


@pytest.mark.usefixtures("folder_of_the_readme")
@pytest.mark.parametrize("options", list(dict.fromkeys(text for text in INLINE if re.match(r"--\w+[.\w]* ", text))))
def test_options_that_are_named_alone_are_understood(options: str) -> None:
    words = " ".join(options.split())
    refused = []
    beginnings = "fit --config image_folder_sbn", "fit --config cifar100_sbn", "reproduce", "evaluate --config runs/a"
    for command in beginnings:
        try:
            understand(f"sbn {command} {words}")
        except UsageError as error:
            refused.append(str(error))
    assert len(refused) < len(beginnings), refused


def test_key_of_a_class_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    (words,) = [text.split() for text in INLINE if ".help PEDCCHead" in text]
    with pytest.raises(SystemExit) as end:
        ParsedOnly(words[1], words[2:])
    assert end.value.code == 0
    assert "--model.head.mse_weight" in capsys.readouterr().out


def test_first_command_comes_within_five_lines_and_the_readme_is_short() -> None:
    lines = TEXT.splitlines()
    assert lines.index("```bash") < 5
    assert len(lines) <= 250
    assert all(len(block.splitlines()) <= 4 for block in FIRST_BLOCKS)


@pytest.fixture
def new_machine(tmp_path: Path) -> Path:
    """A folder `checkout` with what a clone contains, where this environment stands in for the one that `make fit`
    installs. Trainings have 2 epochs, and all of `sbn reproduce` except those of
    `make fit` are finished."""
    checkout = tmp_path / "checkout"
    for name in ("sbn_lightning", "configs"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("configs/small.yaml", "configs/parts/digits_trainer.yaml"):
        config = (checkout / name).read_text()
        (checkout / name).write_text(config.replace("max_epochs: 30", "max_epochs: 2"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (site_packages,) = checkout.glob(".venv/lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(f"{checkout}\n{sysconfig.get_path('purelib')}\n")
    sbn = checkout / ".venv/bin/sbn"
    sbn.write_text(f"#!{checkout}/.venv/bin/python\nfrom sbn_lightning.cli.commands import main\n\nmain()\n")
    sbn.chmod(0o755)
    (checkout / ".venv/.installed").touch()
    shutil.copytree(RECORDS / "digits", checkout / "runs/reproduce_digits")
    grid = json.loads((checkout / "runs/reproduce_digits/grid.json").read_text())
    for run in grid["runs"]:
        run["files"] = {}  # so that the changed number of epochs is none in a grid
    (checkout / "runs/reproduce_digits/grid.json").write_text(json.dumps(grid))
    for head in ("softmax", "sbn"):
        shutil.rmtree(checkout / f"runs/reproduce_digits/digits/SmallCNN/{head}/seed0")
    return tmp_path


def paste(commands: str, machine: Path) -> str:
    """Type commands into a new shell in the checkout, and return what is shown; each of them must succeed."""
    environment = {"HOME": str(machine / "home"), "PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": ""}
    shell = subprocess.run(
        ["bash", "--norc"], cwd=machine / "checkout", env=environment | {"OMP_NUM_THREADS": "1"},
        input=f"trap 'echo failed: $BASH_COMMAND; exit 1' ERR\n{commands}",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    assert shell.returncode == 0, shell.stdout
    return shell.stdout


@pytest.mark.skipif(not shutil.which("make") or not shutil.which("bash"), reason="make or bash is not installed")
def test_see_it_and_compare_heads_succeed_pasted_into_a_new_shell(new_machine: Path) -> None:
    shown = paste(SEE_IT + COMPARE_HEADS, new_machine)
    page = re.search(r"file://(\S+)", shown)
    assert page is not None
    assert Path(page[1]).is_file()
    assert (new_machine / "checkout/runs/reproduce_digits/report/report.html").is_file()


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_photos_are_trained_on_evaluated_predicted_and_exported_as_the_readme_shows(new_machine: Path) -> None:
    checkout, home = new_machine / "checkout", new_machine / "home"
    put_photos(home / "photos", home / "new_photos", each=12, each_unseen=50)
    known = sorted((home / "photos").rglob("*.*"))
    (checkout / "own_code.py").write_text(
        f"{OWN_CODE}print(*names, sep='|')\nprint(probabilities.max(1).values.tolist())\n"
    )
    shutil.copy(known[0], checkout / "a.jpg")
    Image.open(known[-1]).save(checkout / "b.png")
    (checkout / "classify.py").write_text(SCRIPT)
    activate = SEE_IT.splitlines()[-1]
    answers = "python classify.py a.jpg\npython classify.py b.png\npython own_code.py\n"
    shown = paste(f"{activate}\n{OWN_PHOTOS}{OF_A_TRAINED_MODEL}{answers}", new_machine)
    run = checkout / "runs/image_folder_softmax_small"
    for file in (
        run / "results.json",
        run / "evaluation/evaluation.html",
        checkout / "photos.onnx",
        checkout / "photos.md",
    ):
        assert file.is_file()
    *exported, names, probabilities = shown.splitlines()[-4:]
    assert names.split("|") == [line.rpartition(" ")[0] for line in exported]
    assert json.loads(probabilities) == pytest.approx([float(line.rpartition(" ")[2]) for line in exported], abs=1e-4)
    check_answers(sorted((home / "new_photos").rglob("*.*")), checkout, run / "checkpoints/last.ckpt")


def check_answers(photos: list[Path], checkout: Path, checkpoint: Path) -> None:
    """The script with the exported file, and predictions.csv, say of photos what the checkpoint says."""
    expected = Classifier.load_from_checkpoint(checkpoint).predict(photos)
    opening, preparing = SCRIPT.split("photo = Image.open", 1)
    known: dict[str, Any] = {}
    exec(opening.replace("photos.onnx", str(checkout / "photos.onnx")), known)
    program = compile(f"photo = Image.open{preparing}".replace("print(", "said = ("), "classify.py", "exec")
    known["sys"] = types.SimpleNamespace(argv=["classify.py", ""])
    said, probabilities = [], []
    for photo in photos:
        known["sys"].argv[1] = photo
        exec(program, known)
        said.append(known["said"][0])
        probabilities.append(torch.from_numpy(known["probabilities"]))
    assert said == expected.names
    torch.testing.assert_close(torch.stack(probabilities), expected.probabilities, rtol=0, atol=1e-4)
    with (checkout / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = {Path(row["path"]): row for row in csv.DictReader(file)}
    assert [rows[photo]["predicted"] for photo in photos] == expected.names


def test_script_prepares_a_photo_as_the_one_of_the_model_card() -> None:
    of_card = script_of(Path("photos.onnx"), "onnx", (64, 64), "crop", any_size=False)
    lines = [
        line.partition("  #")[0] for line in of_card.splitlines() if re.match("(photo|pixels|probabilities)", line)
    ]
    assert len(lines) == 7
    assert all(line in SCRIPT for line in lines)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_lists_its_targets_within_80_columns() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "make fit " in listed
    assert all(len(line) <= 80 for line in listed.splitlines())
    named = {word for text in [*INLINE, *BLOCKS] for word in re.findall(r"\bmake (\S+)", text)}
    assert {word for word in named if f"make {word} " not in listed} == set()


def test_tensorboard_is_opened_at_the_page_with_all_curves() -> None:
    assert "/#custom_scalars" in (ROOT / "Makefile").read_text(encoding="utf-8")
