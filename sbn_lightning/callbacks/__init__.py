"""Callbacks that show what a head does to logits, class weights and gradients, and that record what a run does.

TrainerCLI.callbacks says which of them every run has, and in which order.
"""

from sbn_lightning.callbacks.class_weight_norm import ClassWeightNorm
from sbn_lightning.callbacks.confident_mistakes import ConfidentMistakes
from sbn_lightning.callbacks.confusion_matrix import ConfusionMatrix
from sbn_lightning.callbacks.dashboard import Dashboard
from sbn_lightning.callbacks.evaluation_record import EvaluationRecord
from sbn_lightning.callbacks.logit_gradient import LogitGradient
from sbn_lightning.callbacks.logit_histogram import LogitHistogram
from sbn_lightning.callbacks.metrics_logger import MetricsLogger
from sbn_lightning.callbacks.progress import Progress
from sbn_lightning.callbacks.training_batch import TrainingBatch
from sbn_lightning.callbacks.training_health import ChanceLevel, DivergenceGuard
from sbn_lightning.callbacks.training_plan import TrainingPlan
from sbn_lightning.callbacks.training_record import TrainingRecord

__all__ = [
    "LogitHistogram", "ClassWeightNorm", "LogitGradient", "TrainingBatch", "ConfusionMatrix", "ConfidentMistakes",
    "Dashboard", "Progress",
    "TrainingRecord", "EvaluationRecord", "MetricsLogger", "DivergenceGuard", "ChanceLevel", "TrainingPlan",
]  # fmt: skip
