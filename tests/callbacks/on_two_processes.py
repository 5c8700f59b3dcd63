"""What several tests need of two processes: the fixture `two_processes` starts this program once, and Lightning starts
it again for the second process.

It fits with the callbacks that show something, trains the heads on shares of a batch, and ends with a command that
meets NaN on the second process.
"""

import sys
from pathlib import Path

import torch
from conftest import TinyClassifier, TinyData, make_trainer
from test_all_devices import work

from sbn_lightning.callbacks import ClassWeightNorm, Dashboard, LogitGradient, LogitHistogram
from sbn_lightning.cli.commands import main

if __name__ == "__main__":
    folder, digits_root = Path(sys.argv[1]), sys.argv[2]
    trainer = make_trainer(  # one step without learning, then validation
        folder / "callbacks",
        [LogitHistogram(-3, 3, 12), ClassWeightNorm(), LogitGradient(), Dashboard()],
        devices=2,
        strategy="ddp",
        max_epochs=1,
        limit_train_batches=1,
        log_every_n_steps=1,
        use_distributed_sampler=False,
    )
    trainer.fit(TinyClassifier(lr=0.0), datamodule=TinyData())
    torch.save(work(), folder / f"heads_{trainer.global_rank}.pt")
    main(
        ["fit", "--config", "digits_sbn", "--data.root", digits_root, "--run_dir", str(folder / "nan"),
         "--model.backbone", "own_classes.PlainCNN", "--model.head", "own_classes.NaNOnSecondProcess",
         "--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp",
         "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
    )  # fmt: skip
