"""The paper's 216 runs."""

import csv
import shlex
from pathlib import Path

import pytest

from sbn_lightning.cli import commands
from sbn_lightning.reproduce import command, paper
from sbn_lightning.reproduce.tables import paper_table

CONFIGS = {"softmax": "softmax", "am_softmax": "am_softmax", "pedcc": "pedcc", "scaled_batch_norm": "sbn"}
BACKBONES = {"vgg": "LSoftmaxVGG", "resnet18": "ResNet18", "resnet50": "ResNet50"}
CELLS = list(csv.DictReader((Path(command.__file__).parent / "paper_tables.csv").read_text().splitlines()))


def expected_options(cell: dict[str, str], seed: int) -> list[str]:
    """What a cell of the printed tables is trained with, from the file itself."""
    options = [
        "--config",
        f"{cell['dataset']}_{CONFIGS[cell['head']]}",
        "--model.backbone",
        BACKBONES[cell["backbone"]],
    ]
    for name in ("scale", "margin"):
        if cell[name]:
            options += [f"--model.head.init_args.{name}", cell[name]]
    if (cell["head"], cell["backbone"]) == ("pedcc", "vgg"):
        options += ["--model.head.init_args.embedding_dim", "null"]  # the net ends in that neck
    return [*options, "--seed_everything", str(seed)]


def test_dry_run_lists_every_cell_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    commands.main(["reproduce", "--table", "paper", "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    listed = [shlex.split(line.partition(" sbn fit ")[2]) for line in lines if " sbn fit " in line]
    assert sorted(listed) == sorted(expected_options(cell, seed) for cell in CELLS for seed in range(3))
    assert len(listed) == 216
    assert lines[-1].startswith("216 runs in runs/reproduce_paper/: 0 done, 0 running, 216 left, 0 failed")
    assert list(tmp_path.iterdir()) == []


def test_runs_know_the_papers_numbers_and_lie_in_folders_of_their_own() -> None:
    runs = list(paper_table())
    assert len({run.folder for run in runs}) == 216
    printed = sorted((float(cell["accuracy_mean_percent"]), float(cell["accuracy_std_percent"])) for cell in CELLS)
    known = sorted((run.paper["mean"], run.paper["std"]) for run in runs if run.paper and run.seed == 0)
    assert known == printed
    run = next(run for run in runs if run.folder == "cifar100/ResNet18/am_softmax-7.5-0.35/seed1")
    assert (run.dataset, run.backbone, run.head, run.seed) == ("CIFAR100", "ResNet18", "AMSoftmaxHead", 1)
    assert run.settings == {"scale": 7.5, "margin": 0.35}
    assert run.paper == {"mean": 74.97, "std": 0.08, "runs": 3}


def test_one_scale_of_ours_is_declared_beforehand() -> None:
    declared = {run.label for run in paper_table() if run.declared}
    assert declared == {
        "softmax",
        "am_softmax-7.5-0.35",
        "am_softmax-10-0.5",
        "pedcc-7.5-0.35",
        "pedcc-10-0.5",
        "sbn-0.9",
    }


def test_the_papers_results_are_those_printed() -> None:
    results = paper.paper_results()
    assert len(results) == 72
    assert results["cifar100", "resnet18", "scaled_batch_norm", 0.9, None] == (76.10, 0.12)
    assert results["tiny_imagenet", "resnet50", "pedcc", 10, 0.5] == (62.42, 0.24)  # printed as 6242 %
    assert results["facescrub", "vgg", "softmax", None, None] == (93.54, 0.30)
