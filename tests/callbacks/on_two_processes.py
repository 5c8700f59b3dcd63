"""What several tests need of two processes: the fixture `two_processes` starts this program once, and Lightning starts
it again for the second process.

It fits with the callbacks that show something, trains the heads on shares of a batch, whole and divided, and ends with
a command that meets NaN on the second process.
"""

import sys
from pathlib import Path

import torch
from conftest import TinyClassifier, TinyData, make_trainer
from test_all_devices import work
from test_sharded_head import work as work_on_divided_heads

from sbn_lightning.callbacks import (
    ClassWeightNorm,
    ConfidentMistakes,
    ConfusionMatrix,
    Dashboard,
    LogitGradient,
    LogitHistogram,
    confident_mistakes,
    confusion_matrix,
)
from sbn_lightning.cli.commands import main


class ShownData(TinyData):
    """With images for a picture."""

    validation_stage = "val"

    def stored_images(self, stage, rows):
        return torch.zeros(len(rows), 3, 8, 8, dtype=torch.uint8)


def saves_what_it_draws(module, name, file):
    """Have a callback's module save the arguments of its figure."""
    draw = getattr(module, name)
    setattr(module, name, lambda *arguments: torch.save(list(map(str, arguments)), file) or draw(*arguments))


if __name__ == "__main__":
    folder, digits_root = Path(sys.argv[1]), sys.argv[2]
    saves_what_it_draws(confusion_matrix, "draw_confusion", folder / "confusion.pt")
    saves_what_it_draws(confident_mistakes, "draw_images", folder / "mistakes.pt")
    trainer = make_trainer(  # one step without learning, then validation
        folder / "callbacks",
        [
            *(LogitHistogram(-3, 3, 12), ClassWeightNorm(), LogitGradient(), Dashboard()),
            *(ConfusionMatrix(), ConfidentMistakes()),
        ],
        devices=2,
        strategy="ddp",
        max_epochs=1,
        limit_train_batches=1,
        log_every_n_steps=1,
        use_distributed_sampler=False,
    )
    trainer.fit(TinyClassifier(lr=0.0), datamodule=ShownData())
    torch.save(work(), folder / f"heads_{trainer.global_rank}.pt")
    torch.save(work_on_divided_heads(), folder / f"divided_{trainer.global_rank}.pt")
    main(
        ["fit", "--config", "digits_sbn", "--data.root", digits_root, "--run_dir", str(folder / "nan"),
         "--model.backbone", "own_classes.PlainCNN", "--model.head", "own_classes.NaNOnSecondProcess",
         "--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp",
         "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
    )  # fmt: skip
