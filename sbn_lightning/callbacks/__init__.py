"""Callbacks that show what a head does to logits, class weights and gradients, and what a run does."""

from sbn_lightning.callbacks.chance_level import ChanceLevel
from sbn_lightning.callbacks.class_weight_norm import ClassWeightNorm
from sbn_lightning.callbacks.dashboard import Dashboard
from sbn_lightning.callbacks.divergence_guard import DivergenceGuard
from sbn_lightning.callbacks.evaluation_summary import EvaluationSummary
from sbn_lightning.callbacks.logit_gradient import LogitGradient
from sbn_lightning.callbacks.logit_histogram import LogitHistogram
from sbn_lightning.callbacks.loss_bar import LossBar
from sbn_lightning.callbacks.metrics_csv import MetricsCSV
from sbn_lightning.callbacks.prediction_writer import PredictionWriter
from sbn_lightning.callbacks.run_summary import RunSummary

__all__ = [
    "LogitHistogram",
    "ClassWeightNorm",
    "LogitGradient",
    "Dashboard",
    "LossBar",
    "MetricsCSV",
    "RunSummary",
    "EvaluationSummary",
    "PredictionWriter",
    "DivergenceGuard",
    "ChanceLevel",
]
