"""How long `sbn report` takes for the paper's whole grid, of made-up runs in the size of CIFAR-100."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from sbn_lightning.run.files import RESULTS
from sbn_lightning.run.grid_records import Published
from sbn_lightning.run.records import Results, write_record
from tests.benchmarks.comparison import Row, compare, timed
from tests.made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, planned, results, sbn, write_grid, write_test_arrays

REPETITIONS = 3
PEDCC = replace(AM_SOFTMAX, name="PEDCCHead", title="PEDCC-Loss")
HEADS = [
    ("softmax", SOFTMAX),
    *((f"SBN, scale {scale}", sbn(scale)) for scale in (0.8, 0.9, 1.0)),
    *(
        (f"{kind.title}, scale {scale}", replace(kind, settings={"scale": scale, "margin": margin}))
        for kind in (AM_SOFTMAX, PEDCC)
        for scale, margin in ((7.5, 0.35), (10.0, 0.5))
    ),
]
STEPS = range(49, 39_100, 50)
TAGS = 30  # columns of a real metrics.csv
PROGRAM = "from sbn_lightning.cli.commands import main; main()"


def rows() -> Iterator[Row]:
    """The command from its start to its end, beside a Python that imports matplotlib's figures and ends."""
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as folder:
        count = write_paper_grid(Path(folder))
        report = [sys.executable, "-c", PROGRAM, "report", folder]
        imports = [sys.executable, "-c", "import matplotlib.figure, matplotlib.backends.backend_svg"]
        ours, theirs = (
            timed(lambda command=command: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), 1)  # type: ignore[misc]
            for command in (report, imports)
        )
        ours(), theirs()  # reads the files into memory
        what = f"`sbn report` of {count} finished runs, 46 figures, against importing matplotlib"
        yield compare(ours, theirs, REPETITIONS).time_row(what, "under 30 s")


def write_paper_grid(root: Path) -> int:
    """The paper's 216 runs, with outcomes that mean nothing; returns their number."""
    entries = []
    shared = root / ".shared"
    for dataset in ("CIFAR100", "TinyImageNet", "FaceScrub"):
        for backbone in ("LSoftmaxVGG", "ResNet18", "ResNet50"):
            for number, (label, head) in enumerate(HEADS):
                for seed in range(3):
                    name = f"{dataset}/{backbone}/{label}/seed{seed}"
                    accuracy = 75 + 0.3 * number + 0.2 * seed
                    epochs = [accuracy - 60 / (epoch + 1) for epoch in range(99)] + [accuracy]
                    record = results(
                        accuracy, head, seed,
                        dataset=dataset, backbone=backbone, classes=100, images=10_000, epochs=epochs,
                    )  # fmt: skip
                    put_run(root / name, record, shared)
                    paper = Published(accuracy - 0.5, 0.2, 3)
                    declared = label == "SBN, scale 0.9" or head.name != SBN.name
                    more = {"dataset": dataset, "backbone": backbone, "paper": paper, "declared": declared}
                    entries.append(planned(name, head, label, seed, **more))
    write_grid(root, entries)
    return len(entries)


def put_run(folder: Path, record: Results, shared: Path) -> None:
    """A run's folder; the large files are made once, and are the same file in all."""
    if not shared.exists():
        shared.mkdir()
        write_test_arrays(shared, record)
        tags = ["gradient/logit_norm", "gradient/share_confident", *(f"z/{tag:02}" for tag in range(TAGS - 2))]
        lines = [f"{1 + step // 391},{step}" + f",{1 / (1 + step / 4000):.6f}" * TAGS for step in STEPS]
        (shared / "metrics.csv").write_text("\n".join([f"epoch,step,{','.join(tags)}", *lines]) + "\n")
    write_record(folder / RESULTS, record)
    for name in ("test.npz", "metrics.csv"):
        os.link(shared / name, folder / name)
