"""Generalization gap of embeddings, calibration of predictions, and costs of errors."""

from imblearn_eos.metrics._calibration import expected_calibration_error
from imblearn_eos.metrics._costs import expected_cost_predict, make_cost_scorer

# EmbeddingPipeline uses the first two; they are not public.
from imblearn_eos.metrics._gap import TrainingRanges as TrainingRanges
from imblearn_eos.metrics._gap import check_rows as check_rows
from imblearn_eos.metrics._gap import generalization_gap, generalization_gap_report

__all__ = [
    "expected_calibration_error",
    "expected_cost_predict",
    "generalization_gap",
    "generalization_gap_report",
    "make_cost_scorer",
]
