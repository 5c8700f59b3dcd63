"""Commands of `sbn` on several processes: real starts, and two forked from one that has imported everything."""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only

from sbn_lightning.cli import commands

TESTS = Path(__file__).parent
TWO = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["sbn_lightning.cli.trainer"])


def start(*command: str) -> "subprocess.Popen[str]":
    """Start `python -m command` in the current folder, in a process group of its own."""
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *command], env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait until a process and those that it has started have ended; its exit code, and what they said."""
    try:
        said, _ = process.communicate(timeout=150)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def sbn_on_two(*arguments: str, strategy: str = "ddp") -> str:
    """Run a command on two forked processes, in the current folder, and return what they said."""
    said = Path("said.txt")
    said.write_text("")
    port = free_port()
    arguments = (*arguments, *TWO, f"--trainer.strategy={strategy}")
    processes = [SERVER.Process(target=work, args=(rank, port, Path.cwd(), [*arguments])) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        process.kill()  # should the two wait for each other
        process.join()
    assert [process.exitcode for process in processes] == [0, 0], said.read_text()
    return said.read_text()


def work(rank: int, port: int, folder: Path, arguments: list[str]) -> None:
    """Be one of the two processes, as Lightning's launcher would have started it."""
    os.chdir(folder)
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    rank_zero_only.rank = rank
    torch.set_num_threads(1)
    said = os.open("said.txt", os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    commands.main(arguments)
