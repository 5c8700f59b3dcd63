"""What a run's trainer is made of besides what its config names."""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from jsonargparse.typing import PositiveFloat, PositiveInt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from sbn_lightning.checkpointing.atomic_io import replace_by_link
from sbn_lightning.checkpointing.process_state import ProcessState
from sbn_lightning.checkpointing.save import RunCheckpoint


class CheckpointRule:
    """When a training writes its checkpoint, besides at its end and when it is asked to stop.

    Args:
        every_n_epochs: Epochs between two checkpoints.
        every_n_steps: Optimizer steps between two checkpoints; null for no such rule.
        every_n_minutes: Minutes between two checkpoints; null for no such rule.
    """

    def __init__(
        self,
        every_n_epochs: PositiveInt = 1,
        every_n_steps: PositiveInt | None = None,
        every_n_minutes: PositiveFloat | None = 10.0,
    ) -> None:
        self.every_n_epochs, self.every_n_steps, self.every_n_minutes = every_n_epochs, every_n_steps, every_n_minutes


class SaveConfig(SaveConfigCallback):
    """Saves the whole config of a training run as config.yaml in its folder; evaluation leaves it as it is.

    Without the checkpoint that this start continues, or may: the next start from the file is to choose for itself.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **kwargs: Any) -> None:
        super().__init__(parser, config.clone(), **kwargs)
        self.config.ckpt_path = None
        self.config.auto_resume = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        run_dir = Path(trainer.default_root_dir)  # wherever the loggers write
        run_dir.mkdir(parents=True, exist_ok=True)
        self.parser.save(
            self.config, run_dir / self.config_filename, skip_none=False, overwrite=True, multifile=self.multifile
        )


def checkpoint_callbacks(
    folder: Path, settings: dict[str, Any], rule: CheckpointRule, held_out: bool
) -> list[Callback]:
    """Those that write last.ckpt; and best.ckpt, by accuracy on held-out images, only if there are such."""
    link_best = replace_by_link if held_out else None
    every = rule.every_n_epochs, rule.every_n_steps, rule.every_n_minutes
    return [ProcessState(), RunCheckpoint(folder, settings, *every, link_best)]


def loggers(configured: Any, run_dir: Path, continues_at: int | None) -> list[Logger]:
    """Those of the config, or else TensorBoard's.

    Args:
        configured: What the config says: loggers, nothing, True for the default, False for none.
        run_dir: The run's folder.
        continues_at: Step at which this training continues another one; None for a new training.
    """
    if configured in (None, True):
        # Events from there on will be written again: so will all of a run that was killed before its first checkpoint.
        return [TensorBoardLogger(run_dir, name="", version="", default_hp_metric=False, purge_step=continues_at or 0)]
    return [] if configured is False else as_list(configured)


def as_list(value: Any) -> list[Any]:
    """What may be given as nothing, one thing or several."""
    return list(value) if isinstance(value, (list, tuple)) else [value] if value is not None else []
