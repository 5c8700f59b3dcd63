"""Takes the place of the command `sbn` where only its starts, ends, locks and files matter, not what it trains.

Each call is a line of calls.txt in the current folder. Files there say how processes behave, by a part of their run's
folder: `fail` (print and exit with 1), `wait` (wait until the file is gone), `ignore` (the same, but ignore SIGTERM),
`short` (leave out the last epoch), `part` (test one of two images), `refuse` (exit at once with 2, as for a mistyped
option), `late` (wait before the lock is taken, as a process does that still imports torch).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from sbn_lightning.errors import LockedError
from sbn_lightning.run.lock import run_lock

EPOCHS = 3


def named_in(behaviour: str, run: str) -> bool:
    """Whether the run is to behave so."""
    file = Path(behaviour)
    return file.exists() and any(word in run for word in file.read_text().split())


def note(command: str, run: Path, resumes: bool = False) -> None:
    with open("calls.txt", "a") as calls:
        calls.write(f"{command} {run} {'resumed' if resumes else ''} {os.getpid()}\n")


def main(command: str, *arguments: str) -> int:
    given = list(arguments)
    if command == "prepare":
        note(command, Path())
        if named_in("refuse", "prepare"):
            print("sbn: refused", file=sys.stderr)
            return 2
        while named_in("wait", "prepare"):
            time.sleep(0.02)
        return 1 if named_in("fail", "prepare") else 0
    run = Path(given[given.index("--run_dir") + 1])
    if named_in("refuse", f"{command} {run}"):
        note(command, run)
        return 2
    while named_in("late", f"{command} {run}"):
        time.sleep(0.02)
    try:
        with run_lock(run):
            return work(command, run, "--auto_resume" in given and (run / "checkpoints/last.ckpt").exists())
    except LockedError as error:
        print(error)
        return error.exit_code


def work(command: str, run: Path, resumes: bool) -> int:
    if named_in("ignore", str(run)):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    results = run / "results.json"
    training = {"version": 1, "training": {"seed": 0, "epochs": EPOCHS}}
    if command == "fit":
        (run / "checkpoints").mkdir(exist_ok=True)
        (run / "config.yaml").write_text("optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.02}}\n")
        results.write_text(json.dumps(training))
        (run / "checkpoints/last.ckpt").write_text("weights")
    note(command, run, resumes)
    while named_in("wait", f"{command} {run}") or named_in("ignore", f"{command} {run}"):
        time.sleep(0.02)
    if named_in("fail", f"{command} {run}"):
        print("first line\nloss is NaN in step 7")
        return 1
    if command == "fit":
        fit = {"seconds": 1.0, "last_epoch": EPOCHS - named_in("short", str(run)), "last": {}}
        new = training | {"fit": fit}
    else:
        test = {"checkpoint": f"{run}/checkpoints/last.ckpt", "stage": "test", "images": 1, "correct": 1, "metrics": {}}
        data = {"name": "Digits", "images": {"test": 1 + named_in("part", str(run))}, "classes": 2, "batch_size": 1}
        new = json.loads(results.read_text()) | {"data": data, "evaluations": {"test": test}}
    (run / "new").write_text(json.dumps(new))
    os.replace(run / "new", results)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
