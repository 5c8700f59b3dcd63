"""Whether a checkpoint has been trained for as long as a command asks: the limits, and what has stopped it."""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from sbn_lightning.checkpointing.lightning_internals import finished_epochs
from sbn_lightning.errors import counted

Config = Mapping[str, Any]
GO_ON = "to train for longer, raise --trainer."


def why_complete(checkpoint: dict[str, Any], config: Config) -> str:
    """Return why the training that a checkpoint holds has ended, with what to do; an empty text if it has not.

    Args:
        checkpoint: What the file holds.
        config: The whole config of the command, as plain data.

    Raises:
        KeyError, TypeError: If the checkpoint holds no training state.
    """
    limits, step, epochs = config["trainer"], checkpoint["global_step"], finished_epochs(checkpoint)
    if checkpoint["callbacks"].get("AveragedStatistics", {}).get("is_averaged"):  # in an epoch more, without training
        return (
            f"has been trained for {counted(epochs - 1, 'epoch')}, and StochasticWeightAveraging has averaged its "
            "weights, so that no more steps can follow; train for longer from the start, into another folder with "
            "--run_dir DIR"
        )
    length = f"has been trained for {counted(epochs, 'epoch')} ({counted(step, 'step')})"
    if limits["max_epochs"] is not None and 0 <= limits["max_epochs"] <= epochs:
        return f"{length}, as many as the command asks for; {GO_ON}max_epochs"
    if 0 <= limits["max_steps"] <= step:
        return f"{length}, as many as the command asks for; {GO_ON}max_steps"
    if has_used_up(limits["max_time"], checkpoint):
        return f"{length}, in all the time that the command allows; {GO_ON}max_time"
    if epochs >= (limits["min_epochs"] or 0) and step >= (limits["min_steps"] or 0):
        for monitor, state in stopped_early(checkpoint, config):
            reason = state["stopping_reason_message"] or f"{monitor} no longer improves"
            text = f"{length}, and EarlyStopping has stopped it: {reason.removesuffix(' Signaling Trainer to stop.')}"
            return f"{text.removesuffix('.')}; to train for longer, raise its patience, or leave it out"
    return ""


def has_used_up(max_time: Any, checkpoint: dict[str, Any]) -> bool:
    """Whether a training has taken as long as `max_time`."""
    remaining = Timer(max_time).time_remaining() if max_time is not None else None
    state = checkpoint["callbacks"].get(Timer.__name__, {"time_elapsed": {}})
    return remaining is not None and bool(state["time_elapsed"].get("train", 0.0) >= remaining)


def stopped_early(checkpoint: dict[str, Any], config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the monitor and the state of each EarlyStopping of the command that has stopped the training.

    A command may give it more patience. Then the checkpoint's state is changed, which Lightning would restore.
    """
    configured = config["trainer"]["callbacks"] or []
    for callback in [configured] if isinstance(configured, dict) else configured:
        if not callback["class_path"].endswith(f".{EarlyStopping.__name__}"):
            continue
        settings = callback["init_args"]
        key = EarlyStopping(settings["monitor"], mode=settings["mode"]).state_key
        state = checkpoint["callbacks"].get(key)
        if state is None:
            continue
        is_out_of_patience = state["stopping_reason"] == EarlyStoppingReason.PATIENCE_EXHAUSTED.value
        state["patience"] = settings["patience"]
        if is_out_of_patience and state["wait_count"] < settings["patience"]:
            state["stopping_reason"] = EarlyStoppingReason.NOT_STOPPED.value
        if state["stopping_reason"] != EarlyStoppingReason.NOT_STOPPED.value:
            yield settings["monitor"], state
