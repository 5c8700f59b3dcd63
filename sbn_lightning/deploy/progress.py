"""How far a long work on images is: a bar on a terminal, and elsewhere a line now and then."""

import time
from types import TracebackType

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from sbn_lightning.errors import counted
from sbn_lightning.terminal import duration, show

DRAWN_EVERY = 0.25
"""Seconds between two pictures of the bar."""
SILENT_FOR = 600.0
"""Seconds after which a line says how far the work is where there is no terminal."""


class ImageProgress:
    """Shows how many images are done, how many a second, and how long the others will take.

    On a terminal this is a bar, which is drawn when images are done, and is gone at the end. Elsewhere a line every ten
    minutes says it.

    Args:
        name: What is done, as in `Predicting`.
        count: Number of images.
    """

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count, self.done = name, count, 0
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn()
        hidden = not get_console().is_interactive
        self._bar = Progress(*columns, transient=True, auto_refresh=False, disable=hidden, console=get_console())
        self._task = self._bar.add_task(name, total=count)
        self._started = self._said = self._drawn = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def __enter__(self) -> "ImageProgress":
        self._started = self._said = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, images: int) -> None:
        """So many more images are done."""
        self.done += images
        now = time.monotonic()
        is_due = now - self._drawn > DRAWN_EVERY
        self._bar.update(self._task, completed=self.done, refresh=is_due)
        if is_due:
            self._drawn = now
        if self._bar.disable and now - self._said > SILENT_FOR:
            self._said = now
            left = duration((self.count - self.done) * self.seconds / self.done)
            speed = self.done / self.seconds
            show((self.name, f"{self.done:,} of {counted(self.count, 'image')}, {speed:,.0f}/s, {left} left"))


class Speed(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} images/s")
