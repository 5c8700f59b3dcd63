"""Shows a grid: before it runs, while it runs (a live table in a terminal, plain lines elsewhere) and at its end."""

import shlex
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sbn_lightning.reproduce.board import Board, duration
from sbn_lightning.reproduce.run_folder import State

SHOWN = 12  # running runs in the live table
EVERY = 1.0  # seconds between two looks at running trainings
EVERY_LINE = 300.0  # seconds between two plain lines, if nothing else happens


class Progress:
    """Context manager; call it as often as you like.

    Args:
        board: What is shown.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.console = Console(highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.shown: dict[str, State] = dict(board.states)
        self.last = 0.0

    def __enter__(self) -> "Progress":
        if self.live:
            self.live.start()
        self()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live:
            self.live.update(Text(self.board.summary()), refresh=True)
            self.live.stop()

    def __call__(self) -> None:
        """Show what has changed."""
        changed = {folder: state for folder, state in self.board.states.items() if self.shown.get(folder) is not state}
        self.shown = dict(self.board.states)
        now = time.monotonic()
        if self.live:
            if changed or now - self.last > EVERY:
                self.last = now
                self.live.update(Group(*map(Text, self.lines())), refresh=True)
        elif changed or now - self.last > EVERY_LINE:
            self.last = now
            for folder, state in changed.items():
                self.console.print(f"{state.value:<10} {folder}", markup=False)
            self.console.print(self.board.summary(), markup=False)

    def lines(self) -> list[str]:
        """Running runs, then the summary."""
        running = self.board.having(State.RUNNING)
        lines = []
        for folder in running[:SHOWN]:
            spent = duration(time.time() - self.board.started[folder])
            lines.append(f"  {folder}  {spent}  {self.board.details(folder)}".rstrip())
        if len(running) > SHOWN:
            lines.append(f"  and {len(running) - SHOWN} more")
        return [*lines, self.board.summary()]


def listing(board: Board) -> str:
    """Each run with its state, and what is to be expected."""
    lines = []
    for folder, run in board.runs.items():
        lines.append(f"{board.states[folder].value:<10} {folder}  sbn fit {shlex.join(run.arguments)}")
        if folder in board.errors:
            lines += [f"           {line}" for line in board.errors[folder].splitlines()]
    return "\n".join([*lines, f"{len(board.runs)} runs in {board.root}/: {board.summary()}"])


def ending(board: Board, number: int | None) -> int:
    """Say what came out and what to do next."""
    for folder in board.having(State.FAILED):
        error = board.errors.get(folder, "").replace("\n", "\n    ")
        print(f"\nFAILED {folder}: {error}\n    the whole log: {board.folders[folder].log}")
    if number is None:
        for folder in board.having(State.BEGUN):
            print(f"\nSTOPPED {folder}: something other than this command asked it to end (SIGTERM)")
    left = board.having(State.NEW, State.BEGUN)
    total = sum(board.seconds.values())
    print(f"\n{board.summary()}; {duration(total)} of training and tests in all")
    if left or board.having(State.FAILED):
        print("The same command goes on from here: it repeats nothing that is done, and tries again what failed.")
    print(f"Tables and figures of what is done: sbn report {board.root}", flush=True)
    if number is not None:
        return 128 + number
    return 1 if left or board.having(State.FAILED, State.RUNNING) else 0
