"""Work in each step of Lightning's trainer that has no effect, and is left out: meanwhile, a GPU would wait."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.profilers import PassThroughProfiler

PER_BATCH = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
    *(f"on_{stage}_batch_{end}" for stage in ("validation", "test") for end in ("start", "end")),
)
"""The hooks of a callback that are called with each batch."""


class Unprofiled(PassThroughProfiler):
    """Measures nothing, like Lightning's own. That one makes a new context for each of about 50 actions of a step."""

    def profile(self, action_name: str) -> AbstractContextManager[Any]:
        return NOTHING


NOTHING = nullcontext()


def skip_empty_hooks(trainer: Trainer) -> None:
    """Let the trainer call only those per-batch hooks that its callbacks define.

    Lightning prepares each call, even of a hook that does nothing: 14 callbacks have 84 hooks a step, and define about
    ten of them. It skips a hook that is not callable.
    """
    for callback in trainer.callbacks:
        for name in PER_BATCH:
            if getattr(getattr(callback, name), "__func__", None) is getattr(Callback, name):
                vars(callback)[name] = None  # not by setattr: a callback may be a frozen dataclass
