"""What Lightning and torch offer and cannot work in a training by `sbn` is refused before anything is built."""

from collections.abc import Callable

import pytest
import torch

TABLE = {
    "--trainer.barebones true": ["--trainer.barebones: true is not supported"],
    "--trainer.strategy ddp_spawn": ["--trainer.strategy: ddp_spawn is not supported; use ddp"],
    "--trainer.strategy ddp_notebook_find_unused_parameters_true": ["use ddp"],
    "--trainer.strategy.class_path ModelParallelStrategy": ["choose --trainer.strategy sharded_head"],
    "--trainer.plugins AsyncCheckpointIO": ["--trainer.plugins: AsyncCheckpointIO cannot be used"],
    "--trainer.callbacks+ LearningRateFinder": ["LearningRateFinder cannot be used", "--optimizer.lr"],
    "--trainer.callbacks BatchSizeFinder": ["BatchSizeFinder cannot be used", "--data.batch_size"],
    "--trainer.callbacks+ ModelPruning --trainer.callbacks.pruning_fn l1_unstructured": ["ModelPruning cannot be used"],
    "--trainer.callbacks+ Timer --trainer.callbacks.duration 00:00:00:02": ["--trainer.max_time DD:HH:MM:SS"],
    "--trainer.callbacks+ ModelCheckpoint --trainer.callbacks.save_last true": ["--trainer.callbacks.save_last: "],
    "--trainer.callbacks BaseFinetuning": ["BaseFinetuning cannot be used", "choose BackboneFinetuning"],
    "--lr_scheduler LRScheduler": ["LRScheduler cannot be used", "such as MultiStepLR"],
    "--lr_scheduler.last_epoch 3": ["--lr_scheduler.last_epoch: a schedule is continued from the run's checkpoint"],
    "--lr_scheduler.last_epoch 0": ["leave last_epoch out"],
    "--optimizer.differentiable true": ["--optimizer.differentiable: nothing is differentiated through"],
    "--trainer.plugins DeepSpeedPrecision --trainer.plugins.precision 16-true": ["DeepSpeedPrecision cannot be used"],
    "--trainer.plugins TransformerEnginePrecision --trainer.plugins.weights_dtype {}": ["set --trainer.precision "],
    "--trainer.profiler PyTorchProfiler --trainer.profiler.emit_nvtx true": ["--trainer.profiler.emit_nvtx: "],
    "--trainer.profiler XLAProfiler": ["--trainer.profiler: XLAProfiler cannot be used"],
    "--optimizer LBFGS": ["--optimizer: LBFGS cannot be used"],
    "--optimizer SparseAdam": ["--optimizer: SparseAdam cannot be used"],
    "--lr_scheduler torch.optim.lr_scheduler.ReduceLROnPlateau": ["--lr_scheduler.monitor train/loss"],
    "--lr_scheduler SequentialLR": ["SequentialLR needs a value for 'schedulers'"],
    "--trainer.callbacks+ ThroughputMonitor": ["ThroughputMonitor needs a value for 'batch_size_fn'"],
    "--trainer.logger WandbLogger": ["--trainer.logger", "wandb"],
    "--trainer.logger [TensorBoardLogger,CSVLogger]": ["TensorBoardLogger needs a value for 'save_dir'"],
}


@pytest.mark.parametrize("options", TABLE)
def test_what_cannot_work_is_refused_with_what_to_do(
    options: str, answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = answer("fit", "--config", "digits_sbn", *options.split())
    assert all(part in text for part in TABLE[options]), text
