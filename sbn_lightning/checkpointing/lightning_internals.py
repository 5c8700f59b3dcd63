"""Every private part of Lightning and torchmetrics that is relied on, and what for; tests/test_private_names.py watches
them.

Written for lightning 2.6.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters, _given_hyperparameters_context
from torchmetrics import Metric


def call_between_steps(trainer: Trainer, between_steps: Callable[[bool], None]) -> None:
    """Have a function called after each optimizer step, once all that belongs to the step has been done.

    Lightning has no hook there. `on_train_batch_end` comes before the step is logged and before a validation that
    follows it, `on_train_epoch_end` before the epoch is logged and counted: a run continued from a state saved in one
    of them lacks these points, or that validation. So the loops' own methods are wrapped.

    Args:
        trainer: Before it starts to train.
        between_steps: Called with True after an epoch's last step, else with False.
    """
    epochs, steps = trainer.fit_loop, trainer.fit_loop.epoch_loop
    start, end_step, end_epoch = epochs.reset, steps.on_advance_end, epochs.on_advance_end

    def started() -> None:
        # Not done yet if the loader was built before: trainer.estimated_stepping_batches builds it.
        epochs._load_combined_loader_states()
        progress = epochs.epoch_progress.total
        if progress.ready == progress.completed:
            # With max_steps, Lightning takes every checkpoint for one from the middle of an epoch.
            epochs._restarting = False
            steps.restarting = False
        start()

    def step_ended(data_fetcher: Any) -> None:
        if steps._skip_next_val:  # first iteration after a state that was saved after a validation: it trained nothing
            steps._skip_next_val = False
            return
        if steps.val_loop.restarted_mid_evaluation:  # earlier versions also saved in the middle of a validation
            steps.val_loop.batch_progress.total.reset()
        end_step(data_fetcher)
        if not steps.done and not steps._should_accumulate():
            between_steps(False)

    def epoch_ended() -> None:
        end_epoch()
        between_steps(True)

    epochs.reset, steps.on_advance_end, epochs.on_advance_end = started, step_ended, epoch_ended


def validate_at_end(trainer: Trainer, is_validated: Callable[[], bool]) -> None:
    """Have a training validated once more at its end, so that its last values are those of its end.

    Lightning leaves it out where training ends inside an epoch, by max_steps for example, or in an epoch that is not
    validated because of check_val_every_n_epoch.

    Args:
        trainer: Before it starts to train.
        is_validated: Whether a validation has followed the last step.
    """
    epochs, steps = trainer.fit_loop, trainer.fit_loop.epoch_loop
    end_epoch = epochs.on_advance_end

    def epoch_ended() -> None:
        ends = (
            0 <= trainer.max_steps <= trainer.global_step
            or 0 < (trainer.max_epochs or 0) <= epochs.epoch_progress.current.processed + 1
            or (trainer.should_stop and epochs._can_stop_early)
        )
        if ends and trainer.enable_validation and not is_validated():
            trainer.validating = True
            steps._batches_that_stepped -= 1  # what is logged belongs to the last step, as at the end of an epoch
            steps.val_loop.run()
            steps._batches_that_stepped += 1
            trainer.training = True
        end_epoch()

    epochs.on_advance_end = epoch_ended


def epochs_done(trainer: Trainer) -> float:
    """Return the number of epochs that were trained, with the finished part of the last one: 1.5, for example."""
    loop = trainer.fit_loop
    started = loop.epoch_progress.current.started
    if trainer.max_epochs != -1 and started > trainer.max_epochs:  # the epoch that averages batch statistics
        return float(trainer.max_epochs)
    return max(0.0, started - 1 + min(1.0, (loop.batch_idx + 1) / trainer.num_training_batches))


def finished_epochs(checkpoint: dict[str, Any]) -> int:
    """Return the number of complete epochs that a checkpoint has been trained for.

    Raises:
        KeyError, TypeError: If it holds no training state.
    """
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
