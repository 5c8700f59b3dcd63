"""The logger of TensorBoard's events."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from tensorboard.data_compat import migrate_value
from torch.utils.tensorboard import SummaryWriter

from sbn_lightning.run.records import Results
from sbn_lightning.tensorboard import hyperparameters
from sbn_lightning.tensorboard.names import MINUTES, shown


class BoardLogger(TensorBoardLogger):
    """Writes a run's events in its folder, under the names that `names.shown` gives, with titles and descriptions.

    Whatever else is logged keeps its name. The number of the epoch is not written: its chart is a straight line.

    Args:
        run_dir: The run's folder.
        continues_at: The step from which on events that are there already are not shown any more, since they are
            written again: where a run continues; 0 for a new run, which may have been killed before.
    """

    def __init__(self, run_dir: Path | str, continues_at: int = 0) -> None:
        super().__init__(run_dir, name="", version="", default_hp_metric=False, purge_step=continues_at)

    @property
    def experiment(self) -> Any:
        writer = super().experiment  # a SummaryWriter; on all processes but the first, one that does nothing
        if isinstance(writer, SummaryWriter) and not isinstance(writer.file_writer, ShownWriter):
            writer.file_writer = ShownWriter(writer.file_writer)  # type: ignore[assignment]
        return writer

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({tag: value for tag, value in metrics.items() if tag != "epoch"}, step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the trainer gives the whole config, which config.yaml holds. See `start_run`."""

    @rank_zero_only
    def start_run(self, facts: Results, learning_rate: float) -> None:
        """Write what the run is trained with, for the page "HParams"."""
        run = hyperparameters.columns(facts, learning_rate)
        tags = hyperparameters.results(facts.data.validation if facts.data else None)
        for summary in hyperparameters.start(run, tags):
            self.experiment.file_writer.add_summary(summary)

    @rank_zero_only
    def end_run(self, minutes: float, step: int) -> None:
        """Write that the run has ended, and how long it took."""
        self.log_metrics({MINUTES: minutes}, step)
        self.experiment.file_writer.add_summary(hyperparameters.end())

    def save(self) -> None:
        """Write what is still in memory, and no hparams.yaml: config.yaml holds all that would be in it."""
        self.experiment.flush()


class ShownWriter:
    """A SummaryWriter's FileWriter that changes tags to what is shown, and values to those of TensorFlow 2: only they
    keep their titles and descriptions in TensorBoard's fast reader.

    TensorBoard takes the metadata from the first event of a name; later scalars go without.
    """

    def __init__(self, writer: Any) -> None:
        self.writer = writer
        self.described: set[str] = set()

    def add_summary(self, summary: Summary, global_step: int | None = None, walltime: float | None = None) -> None:
        for value in summary.value:
            if row := shown(value.tag):
                value.tag = row.name
                if row.name in self.described and value.HasField("simple_value"):  # logged often
                    value.tensor.CopyFrom(TensorProto(dtype=DT_FLOAT, float_val=[value.simple_value]))
                else:
                    self.described.add(row.name)
                    value.metadata.display_name, value.metadata.summary_description = row.title, row.description
                    value.CopyFrom(migrate_value(value))
        self.writer.add_summary(summary, global_step, walltime)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.writer, name)
