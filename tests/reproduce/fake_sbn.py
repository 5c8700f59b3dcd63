"""Stands in for the command `sbn` where only its starts, ends and files matter, not what it trains.

Each call is a line of calls.txt in the current folder. Files there say how trainings behave, by a part of their run's
folder: `fail` (they print and exit with 1), `wait` (they wait until the file is gone), `ignore` (as wait, deaf to
SIGTERM), `short` (they leave their last epoch out), `refuse` (they end at once with 2, as for a mistyped option).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

EPOCHS = 3


def named_in(behaviour: str, run: str) -> bool:
    """Whether the run is to behave so."""
    file = Path(behaviour)
    return file.exists() and any(word in run for word in file.read_text().split())


def main(command: str, *arguments: str) -> int:
    given = list(arguments)
    run = Path(given[given.index("--run_dir") + 1]) if "--run_dir" in given else Path()
    resumes = "--auto_resume" in given and (run / "checkpoints/last.ckpt").exists()
    with open("calls.txt", "a") as calls:
        calls.write(f"{command} {run} {'resumed' if resumes else ''} {os.getpid()}\n")
    if command == "prepare":
        while named_in("wait", "prepare"):
            time.sleep(0.02)
        return 1 if named_in("fail", "prepare") else 0
    if named_in("ignore", str(run)):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if named_in("refuse", f"{command} {run}"):
        return 2
    results = run / "results.json"
    if command == "fit":
        (run / "checkpoints").mkdir(exist_ok=True)
        (run / "config.yaml").write_text("model: {}\n")
        (run / "checkpoints/last.ckpt").write_text("weights")
        results.write_text(json.dumps({"training": {"epochs": EPOCHS}}))
    while named_in("wait", f"{command} {run}") or named_in("ignore", f"{command} {run}"):
        time.sleep(0.02)
    if named_in("fail", f"{command} {run}"):
        print("first line\nloss is NaN in step 7")
        return 1
    if command == "fit":
        last = EPOCHS - named_in("short", str(run))
        results.write_text(json.dumps({"training": {"epochs": EPOCHS}, "fit": {"last_epoch": last}}))
    else:
        test = {"checkpoint": f"{run}/checkpoints/last.ckpt"}
        results.write_text(json.dumps(json.loads(results.read_text()) | {"test": test}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
