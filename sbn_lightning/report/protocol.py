"""How a run was trained, in one line."""

from sbn_lightning.errors import counted
from sbn_lightning.run import facts, records


def protocol(
    data: facts.DataFacts,
    backbone: facts.ModuleFacts,
    training: facts.TrainingFacts,
    fit: records.FitResult | None = None,
) -> str:
    """Return how a run was trained, in one line: runs that differ in it are not averaged."""
    settings = ", ".join(f"{name}={value}" for name, value in backbone.settings.items())
    batch = f"batch {data.batch_size}" + (f" over {training.devices} devices" if training.devices != 1 else "")
    if training.accumulate != 1:
        batch += f", accumulated to {training.accumulate * data.batch_size} over {training.accumulate} batches"
    clipped = f"gradients clipped at {training.gradient_clip}"
    if training.gradient_clip_algorithm == "value":  # by norm, unless it is said
        clipped += " by value"
    parts = [
        backbone.name + (f"({settings})" if settings else ""),
        f"{data.images.get('train', 0):,} training images",
        data.augmentation and f"augmentation {data.augmentation}",
        length(training, fit),
        batch,
        training.sync_batchnorm and "batch normalization over all devices",
        *training.optimizer,
        *training.schedule,
        training.precision and f"precision {training.precision}",
        training.gradient_clip and clipped,
        *training.limits,
        *training.callbacks,
        *training.changes,
    ]
    return "; ".join(part for part in parts if part)


def length(training: facts.TrainingFacts, fit: records.FitResult | None) -> str:
    """Return how long a run was trained. Where early stopping decides, that is the rule, and not where it stopped."""
    done, planned = fit.epochs_done if fit else None, training.epochs
    is_rule = fit is None or not fit.stopped_by or "EarlyStopping" in fit.stopped_by
    if is_rule and any("EarlyStopping" in callback for callback in training.callbacks):
        return "until early stopping ends it" if planned in (None, -1) else f"at most {counted(planned, 'epoch')}"
    if planned in (None, -1):
        return f"{done:.4g} epochs" if done else "epochs without a limit"
    return counted(planned, "epoch") if done in (None, planned) else f"{done:.4g} of {planned} epochs"
