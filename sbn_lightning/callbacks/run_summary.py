"""What a training is about to do, and what came out: as text for people, as results.json for machines."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from sbn_lightning.callbacks.metrics_csv import MetricsCSV, is_stage_metric
from sbn_lightning.callbacks.run_facts import peak_memory, run_facts
from sbn_lightning.callbacks.summary_text import end_text, start_text
from sbn_lightning.run.results_file import begin_results, update_results

UNEQUAL = 10  # times the smallest class, from which on a larger one is pointed out


class RunSummary(Callback):
    """Prints a run's facts before its first step and its results after its last; keeps both in the run's folder.

    results.json holds `data`, `model`, `training`, `hardware`, `versions` and `commit` as they were at the start;
    `fit`: seconds (of all starts together, if the run was continued), peak_memory_bytes (of the GPU where there is one,
    else of the process), `last` (all metrics of the last epoch), `best` (the epoch chosen on held-out images, where
    there are such) and `epochs` (the metrics of each epoch). EvaluationSummary adds to it.

    Args:
        run_dir: The run's folder.
        seed: seed_everything of the run.
        metrics: The table of the run's metrics.
    """

    def __init__(self, run_dir: str, seed: int | bool, metrics: MetricsCSV) -> None:
        self.run_dir = Path(run_dir)
        self.seed = seed
        self.metrics = metrics
        self.seconds_before = 0.0  # of the starts that this one continues
        self.started = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds_before + time.perf_counter() - self.started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds_before = state_dict["seconds"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()
        facts = run_facts(trainer, pl_module, self.seed)  # on every process: Lightning counts the steps together
        if not trainer.is_global_zero:
            return
        begin_results(self.run_dir, facts)
        counts = trainer.datamodule.class_counts
        advice = pl_module.head.advice(counts)
        if counts.max() > UNEQUAL * counts.min():
            advice.append(
                f"The largest class has more than {UNEQUAL} times as many training images as the smallest: "
                "accuracy says little about the small classes."
            )
        warnings = [f"Warning     {sentence}" for sentence in advice]
        print("\n".join([start_text(facts, self.run_dir), *warnings]), flush=True)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.metrics.write()  # what was logged before a checkpoint must not be lost after it

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.metrics.write()
        epochs = self.metrics.epochs()
        last = {name: value.item() for name, value in sorted(trainer.callback_metrics.items()) if is_stage_metric(name)}
        result = {
            "seconds": self.seconds_before + time.perf_counter() - self.started,
            "peak_memory_bytes": peak_memory(pl_module.device),
            "last_epoch": trainer.current_epoch,
            "last": last,
        }
        if held_out := [epoch for epoch in epochs if "val/accuracy" in epoch]:
            result["best"] = max(held_out, key=lambda epoch: epoch["val/accuracy"])
        update_results(self.run_dir, {"fit": result | {"epochs": epochs}})
        print(end_text(result, self.run_dir), flush=True)
