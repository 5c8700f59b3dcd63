"""What TensorBoard shows of a run: names in the order in which people look, descriptions, a table of all runs."""

from sbn_lightning.tensorboard.logger import BoardLogger
from sbn_lightning.tensorboard.names import Shown, layout_as_shown, shown

__all__ = ["BoardLogger", "Shown", "layout_as_shown", "shown"]
