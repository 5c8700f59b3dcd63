"""The paper's 216 runs."""

import copy
import csv
import functools
import math
import operator
import shlex
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from sbn_lightning.cli import commands
from sbn_lightning.data import CIFAR100
from sbn_lightning.reproduce import command
from sbn_lightning.reproduce.fit_options import settings
from sbn_lightning.reproduce.grid import check, store
from sbn_lightning.reproduce.tables import paper_table
from sbn_lightning.run.records import Results

CELLS = list(csv.DictReader((Path(command.__file__).parent / "paper_tables.csv").read_text().splitlines()))


def expected_options(cell: dict[str, str], seed: int) -> list[str]:
    """What a cell of the printed tables is trained with, from the file itself."""
    options = ["--config", f"{cell['dataset']}_{cell['head']}", "--model.backbone", cell["backbone"]]
    for name in ("scale", "margin"):
        if cell[name]:
            options += [f"--model.head.init_args.{name}", cell[name]]
    if (cell["head"], cell["backbone"]) == ("pedcc", "LSoftmaxVGG"):
        options += ["--model.head.init_args.embedding_dim", "null"]  # the net ends in that neck
    return [*options, "--seed_everything", str(seed)]


def test_dry_run_lists_every_cell_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    commands.main(["reproduce", "--table", "paper", "--dry-run", "--verbose"])
    lines = capsys.readouterr().out.splitlines()
    words = [shlex.split(line) for line in lines if line.startswith("sbn fit ")]
    listed = [command[2:-2] for command in words]
    assert sorted(listed) == sorted(expected_options(cell, seed) for cell in CELLS for seed in range(3))
    assert len(listed) == 216
    assert {tuple(command[-2:]) for command in words} == {
        ("--run_dir", f"runs/reproduce_paper/{run.folder}") for run in paper_table()
    }
    said = "Runs        216 in runs/reproduce_paper/: 0 done, 0 running, 216 left, 0 failed"
    assert said in lines
    assert list(tmp_path.iterdir()) == []


def test_runs_know_the_papers_numbers_and_lie_in_folders_of_their_own() -> None:
    runs = {run.folder: run for run in paper_table()}
    assert len(runs) == 216
    printed = sorted((float(cell["accuracy_mean_percent"]), float(cell["accuracy_std_percent"])) for cell in CELLS)
    known = [(run.paper.mean, run.paper.std) for run in runs.values() if run.paper and run.seed == 0]
    assert sorted(known) == printed
    for folder, mean, std in (
        ("cifar100/ResNet18/am_softmax-7.5-0.35", 74.97, 0.08),
        ("cifar100/ResNet18/sbn-0.9", 76.10, 0.12),
        ("tiny_imagenet/ResNet50/pedcc-10-0.5", 62.42, 0.24),  # printed as 6242 %
        ("facescrub/LSoftmaxVGG/softmax", 93.54, 0.30),
    ):
        paper = runs[f"{folder}/seed0"].paper
        assert paper is not None
        assert (paper.mean, paper.std, paper.runs) == (mean, std, 3)
    run = runs["cifar100/ResNet18/am_softmax-7.5-0.35/seed1"]
    assert (run.dataset, run.backbone, run.head, run.seed) == ("CIFAR100", "ResNet18", "AMSoftmaxHead", 1)
    assert run.settings == {"scale": 7.5, "margin": 0.35}


def test_spread_of_the_papers_runs_is_pooled_over_the_eight_heads_of_a_table_cell() -> None:
    found = {(run.dataset, run.backbone): run.paper for run in paper_table()}
    assert {paper.pooled_df for paper in found.values() if paper} == {16}
    stds = [0.34, 0.08, 0.38, 0.51, 0.48, 0.31, 0.12, 0.30]  # CIFAR-100, ResNet-18
    paper = found["CIFAR100", "ResNet18"]
    assert paper is not None
    assert paper.pooled_std == pytest.approx(math.sqrt(sum(std**2 for std in stds) / 8))


def test_grid_that_was_started_before_the_spread_was_pooled_goes_on(tmp_path: Path) -> None:
    runs = [run for run in paper_table() if run.folder == "cifar100/ResNet18/softmax/seed1"]
    older = [replace(run, paper=replace(run.paper, pooled_std=None, pooled_df=None)) for run in runs]
    store(tmp_path, older)
    (tmp_path / runs[0].folder).mkdir(parents=True)
    (tmp_path / runs[0].folder / "config.yaml").touch()
    check(tmp_path, runs)


def test_one_scale_of_ours_is_declared_beforehand() -> None:
    declared = {run.label for run in paper_table() if run.declared}
    others = {"softmax", "am_softmax-7.5-0.35", "am_softmax-10-0.5", "pedcc-7.5-0.35", "pedcc-10-0.5"}
    assert declared == {*others, "sbn-0.9"}


FACTS: dict[str, dict] = {
    "data": {"name": "CIFAR100", "images": {"train": 50000, "test": 10000}, "classes": 100, "batch_size": 128},
    "model": {
        "backbone": {"name": "ResNet50", "settings": {"stem": "small", "weights": None}},
        "head": {"name": "SoftmaxHead", "settings": {}},
    },
    "training": {
        "seed": 1,
        "epochs": 100,
        "optimizer": ["SGD(lr=0.1, momentum=0.9, weight_decay=0.0005)"],
        "schedule": ["learning rate ×0.1 after epochs 30, 60, 90"],
    },
}


def published_for(**changes: object) -> bool:
    """Whether a run is compared with the paper's result, with these facts of results.json changed."""
    facts = copy.deepcopy(FACTS)
    for key, value in changes.items():
        *path, last = key.split("__")
        functools.reduce(operator.getitem, path, facts)[last] = value  # type: ignore[assignment]
    run = next(run for run in paper_table() if run.folder == "cifar100/ResNet50/softmax/seed1")
    return run.published_for(msgspec.convert(facts, Results)) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"training__epochs": 5},
        {"data__batch_size": 64},
        {"data__augmentation": "crop 2, flip"},
        {"data__images": {"train": 45000, "val": 5000, "test": 10000}},
        {"data__classes": 20},
        {"model__backbone__settings": {"stem": "imagenet", "weights": None}},
        {"training__optimizer": ["SGD(lr=0.2, momentum=0.9, weight_decay=0.0005)"]},
        {"training__schedule": []},
        {"training__gradient_clip": 1.0},
        {"training__accumulate": 2},
        {"training__limits": ["limit_train_batches 0.5: 195 of 391 batches each epoch"]},
        {"training__callbacks": ["EMAWeightAveraging"]},
    ],
)
def test_another_training_is_not_compared_with_the_paper(change: dict[str, object]) -> None:
    assert not published_for(**change)


def test_what_leaves_the_training_as_it_is_leaves_the_papers_result() -> None:
    assert published_for()
    optimizer = [f"{FACTS['training']['optimizer'][0][:-1]}, fused=True)"]
    same = {"training__precision": "bf16-mixed", "training__devices": 4, "data__augmentation": "crop 4, flip"}
    assert published_for(training__optimizer=optimizer, **same)


def test_the_papers_training_is_what_our_configs_say() -> None:
    """The protocol is written as results.json is, which takes a training to know; the configs' parts are compared."""
    run = next(run for run in paper_table() if run.folder == "cifar100/ResNet18/sbn-0.9/seed0")
    assert run.paper is not None
    protocol, found, data = run.paper.protocol, settings(run.arguments), CIFAR100()
    assert protocol is not None
    optimizer = ", ".join(f"{name}={found[f'optimizer.{name}']}" for name in ("lr", "momentum", "weight_decay"))
    epochs = ", ".join(map(str, found["lr_scheduler.milestones"]))
    assert protocol.optimizer == [f"SGD({optimizer})"]
    assert protocol.schedule == [f"learning rate ×{found['lr_scheduler.gamma']} after epochs {epochs}"]
    assert protocol.epochs == found["trainer.max_epochs"]
    assert (protocol.batch_size, protocol.augmentation) == (data.batch_size, str(data.augmentation))
