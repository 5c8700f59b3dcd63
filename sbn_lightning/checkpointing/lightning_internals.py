"""Every private part of Lightning and torchmetrics that is relied on, and what for; tests/test_private_names.py watches
them.

Written for lightning 2.6.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters, _given_hyperparameters_context
from torchmetrics import Metric

SET_UP_AT_EPOCH_START = (GradientAccumulationScheduler, StochasticWeightAveraging)
"""Callbacks that set up at the start of an epoch what they need during it, and do no more if they are called again."""


def call_between_steps(trainer: Trainer, between_steps: Callable[[bool, bool], None]) -> None:
    """Have a function called after each optimizer step, once all that belongs to the step has been done.

    Lightning has no hook there. `on_train_batch_end` comes before the step is logged and before a validation that
    follows it, `on_train_epoch_end` before the epoch is logged and counted: a run continued from a state saved in one
    of them lacks these points, or that validation. So the loops' own methods are wrapped.

    A validation that is due between two batches of one step, whose gradients are accumulated, comes after the step: the
    weights that it measures are then those that a checkpoint can hold.

    Lightning counts an epoch inside which training ends (`max_steps`, a time limit) as a whole one. The last call comes
    before that, and what is logged there gets the number of the next step: a run that continues makes the rest of the
    epoch, and writes that step again.

    Args:
        trainer: Before it starts to train.
        between_steps: Called with whether the step is its epoch's last, and whether training ends here.
    """
    epochs, steps = trainer.fit_loop, trainer.fit_loop.epoch_loop
    start, start_epoch = epochs.reset, epochs.on_advance_start
    end_step, end_epoch = steps.on_advance_end, epochs.on_advance_end
    is_asked_to_stop, is_delayed = False, False
    is_validation_batch = steps._should_check_val_fx

    def validation_is_due(data_fetcher: Any) -> bool:
        nonlocal is_delayed
        is_due = is_delayed or is_validation_batch(data_fetcher)
        is_delayed = is_due and steps._should_accumulate()
        return is_due and not is_delayed

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
        between_steps(True, epochs.done)

    epochs.reset, epochs.on_advance_start = started, epoch_started
    steps.on_advance_end, epochs.on_advance_end = step_ended, epoch_ended
    steps._should_check_val_fx = validation_is_due


def log_no_value_twice(trainer: Trainer) -> None:
    """Keep Lightning from logging the values of an earlier step again, under the numbers of later steps.

    It logs in each step once the training is asked to stop, which may be epochs before it does (`min_epochs`), whereas
    a module logs in every `log_every_n_steps`-th step.
    """
    connector = trainer._logger_connector
    log_step = connector.update_train_step_metrics

    def log_step_as_usual() -> None:
        is_asked_to_stop, trainer.should_stop = trainer.should_stop, False
        log_step()
        trainer.should_stop = is_asked_to_stop

    connector.update_train_step_metrics = log_step_as_usual  # type: ignore[method-assign]


def forget_step_values(trainer: Trainer, tags: Iterable[str]) -> None:
    """Keep Lightning from logging again what `training_step` logged under these tags in an earlier step."""
    logged = trainer._results or {}
    for key in (f"training_step.{tag}" for tag in tags):
        if key in logged:
            logged[key].reset()


def validate_after_training(trainer: Trainer) -> None:
    """Validate at the end of a training, so that its last values are those of its end; called in `on_train_end`.

    Lightning leaves it out where training ends inside an epoch, by max_steps for example, or in an epoch that is not
    validated because of check_val_every_n_epoch. What is logged belongs to the last epoch, and to its last step, unless
    training ended inside it; see `call_between_steps`.
    """
    epochs, steps = trainer.fit_loop, trainer.fit_loop.epoch_loop
    is_whole = steps._num_ready_batches_reached()
    trainer.validating = True
    epochs.epoch_progress.current.completed -= 1  # what trainer.current_epoch is
    steps._batches_that_stepped -= is_whole
    steps.val_loop.run()
    steps._batches_that_stepped += is_whole
    epochs.epoch_progress.current.completed += 1
    trainer.training = True


def epochs_done(trainer: Trainer, asked: int | None) -> float:
    """Return the number of epochs that were trained, with the finished part of the last one: 1.5, for example.

    Args:
        asked: The number that was asked for, None or -1 for no limit; the epoch that StochasticWeightAveraging adds to
            it trains nothing.
    """
    loop = trainer.fit_loop
    started = loop.epoch_progress.current.started
    if asked not in (None, -1) and started > asked:
        return float(asked)
    return max(0.0, started - 1 + min(1.0, (loop.batch_idx + 1) / trainer.num_training_batches))


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


@contextmanager
def built_from(settings: Mapping[str, Any]) -> Iterator[None]:
    """Let a module that is built within this context keep the settings of a checkpoint, as plain data, as its
    hyperparameters; none where the checkpoint has none, or they were not the command line's."""
    given = {name: value for name, value in settings.items() if name != "_instantiator"}
    if "_instantiator" not in settings:
        yield
        return
    with _given_hyperparameters_context(given, settings["_instantiator"]):
        yield


def continue_metric(metric: Metric, values: dict[str, Any], updates: int) -> None:
    """Give a metric the state of another one of its kind: its `metric_state`, and the number of updates that led to it.

    A metric of count 0 says that it has measured nothing. `state_dict` leaves the count out, and `update_count` can
    only be read.
    """
    for name, value in values.items():
        setattr(metric, name, value)
    metric._update_count = updates
