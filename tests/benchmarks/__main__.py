"""`python -m tests.benchmarks [NAME ...]`: measures, and prints a Markdown table, each row when it is known."""

import argparse
import datetime
import os
import platform
import re
from pathlib import Path

import torch

from tests.benchmarks import (
    batches,
    busy_machine,
    checkpoint,
    evaluate,
    evaluation,
    export,
    gpu,
    growth,
    heads,
    million_classes,
    packing,
    predict,
    report,
    reproduce,
    start_up,
    step_time,
)

MEASUREMENTS = {
    "batches": batches.rows,
    "packing": packing.rows,
    "predict": predict.rows,
    "step_time": step_time.rows,
    "evaluation": evaluation.rows,
    "busy_machine": busy_machine.rows,
    "heads": heads.rows,
    "growth": growth.rows,
    "million_classes": million_classes.rows,
    "start_up": start_up.rows,
    "report": report.rows,
    "evaluate": evaluate.rows,
    "export": export.rows,
    "gpu": gpu.rows,
    "checkpoint": checkpoint.rows,
    "reproduce": reproduce.rows,
}


def machine() -> str:
    """What the ratios were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    name = model[1] if model else platform.processor()
    return (
        f"{name}, {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f} at the start), torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads on the CPU, Python {platform.python_version()}, {datetime.date.today()}. "
        "Medians of repetitions in turns; in brackets, the middle half of their ratios."
    )


def main() -> None:
    """Run the named measurements, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; all if none is given")
    names = parser.parse_args().names or list(MEASUREMENTS)
    if unknown := set(names) - set(MEASUREMENTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; known are {', '.join(MEASUREMENTS)}")
    print(f"{machine()}\n\n| what | ours | theirs | ratio | wanted |\n|---|---|---|---|---|", flush=True)
    for name in names:
        for row in MEASUREMENTS[name]():
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
