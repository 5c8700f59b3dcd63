"""Every private part of Lightning and torchmetrics that is relied on, and what for; tests/test_private_names.py watches
them.

Written for lightning 2.6.
"""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from torchmetrics import Metric

SET_UP_AT_EPOCH_START = (GradientAccumulationScheduler, StochasticWeightAveraging)
"""Callbacks that set up at the start of an epoch what they need during it, and do no more if they are called again."""


def call_between_steps(trainer: Trainer, between_steps: Callable[[bool, bool], None]) -> None:
    """Have a function called after each optimizer step, once all that belongs to the step has been done.

    Lightning has no hook there. `on_train_batch_end` comes before the step is logged and before a validation that
    follows it, `on_train_epoch_end` before the epoch is logged and counted: a run continued from a state saved in one
    of them lacks these points, or that validation. So the loops' own methods are wrapped.

    Lightning counts an epoch inside which training ends (`max_steps`, a time limit) as a whole one. The last call comes
    before that, and what is logged there gets the number of the next step: a run that continues makes the rest of the
    epoch, and writes that step again.

    Args:
        trainer: Before it starts to train.
        between_steps: Called with whether the step is its epoch's last, and whether training ends inside an epoch here.
    """
    epochs, steps = trainer.fit_loop, trainer.fit_loop.epoch_loop
    start, start_epoch = epochs.reset, epochs.on_advance_start
    end_step, end_epoch = steps.on_advance_end, epochs.on_advance_end
    is_asked_to_stop = False

    def started() -> None:
        # Not done yet if the loader was built before: trainer.estimated_stepping_batches builds it.
        epochs._load_combined_loader_states()
        progress = epochs.epoch_progress.total
        if progress.ready == progress.completed:
            # With max_steps, Lightning takes every checkpoint for one from the middle of an epoch.
            epochs._restarting = False
            steps.restarting = False
        start()

    def epoch_started() -> None:
        start_epoch()
        if epochs.restarted_mid_epoch:  # Lightning calls `on_train_epoch_start` for a new epoch only
            for callback in trainer.callbacks:
                if isinstance(callback, SET_UP_AT_EPOCH_START):
                    callback.on_train_epoch_start(trainer, trainer.lightning_module)

    def step_ended(data_fetcher: Any) -> None:
        nonlocal is_asked_to_stop
        if steps._skip_next_val:  # first iteration after a state that was saved after a validation: it trained nothing
            steps._skip_next_val = False
            return
        if steps.val_loop.restarted_mid_evaluation:  # earlier versions also saved in the middle of a validation
            steps.val_loop.batch_progress.total.reset()
        # If it knew that training is to stop, Lightning would validate here, and leave gradients half accumulated.
        is_asked_to_stop, trainer.should_stop = is_asked_to_stop or trainer.should_stop, False
        end_step(data_fetcher)
        if not steps._should_accumulate():
            is_asked_to_stop, trainer.should_stop = False, is_asked_to_stop or trainer.should_stop
            if not steps._num_ready_batches_reached():
                between_steps(False, steps.done)

    def epoch_ended() -> None:
        epochs._restarting = False  # it says that the epoch was continued, and keeps ReduceLROnPlateau from its step
        is_cut_short = not steps._num_ready_batches_reached()
        steps._batches_that_stepped += is_cut_short
        end_epoch()
        steps._batches_that_stepped -= is_cut_short
        between_steps(True, False)

    epochs.reset, epochs.on_advance_start = started, epoch_started
    steps.on_advance_end, epochs.on_advance_end = step_ended, epoch_ended


def finished_epochs(checkpoint: dict[str, Any]) -> int:
    """Return the number of complete epochs of a checkpoint; a KeyError or TypeError if it holds no training state."""
    epochs: int = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    return epochs


def never_install_signal_handlers(trainer: Trainer) -> None:
    """Keep Lightning from replacing this process's signal handlers when training starts; there is no setting for it."""
    trainer._signal_connector.register_signal_handlers = lambda: None


def is_built_by_command_line() -> bool:
    """Whether LightningCLI builds a module now; only then are its arguments known as plain data."""
    return _given_hyperparameters.get() is not None


def continue_metric(metric: Metric, values: dict[str, Any], updates: int) -> None:
    """Give a metric the state of another one of its kind: its `metric_state`, and the number of updates that led to it.

    A metric of count 0 says that it has measured nothing. `state_dict` leaves the count out, and `update_count` can
    only be read.
    """
    for name, value in values.items():
        setattr(metric, name, value)
    metric._update_count = updates
