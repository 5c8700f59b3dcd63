"""Shows a grid while it runs: a live table in a terminal, plain lines elsewhere."""

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
