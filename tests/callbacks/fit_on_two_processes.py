"""One step without learning on two processes, then validation.

Started by test_two_processes.py as a program of its own: Lightning's launcher starts it again for the second process.
"""

import sys
from pathlib import Path

from conftest import TinyClassifier, TinyData, make_trainer

from sbn_lightning.callbacks import ClassWeightNorm, Dashboard, LogitGradient, LogitHistogram

if __name__ == "__main__":
    trainer = make_trainer(
        Path(sys.argv[1]),
        [LogitHistogram(-3, 3, 12), ClassWeightNorm(), LogitGradient(), Dashboard()],
        devices=2,
        strategy="ddp",
        max_epochs=1,
        limit_train_batches=1,
        log_every_n_steps=1,
        use_distributed_sampler=False,
    )
    trainer.fit(TinyClassifier(lr=0.0), datamodule=TinyData())
