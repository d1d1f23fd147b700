"""Generalization gap of embeddings, and calibration of predictions."""

from imblearn_eos.metrics._calibration import expected_calibration_error

# EmbeddingPipeline uses the first two; they are not public.
from imblearn_eos.metrics._gap import TrainingRanges as TrainingRanges
from imblearn_eos.metrics._gap import check_rows as check_rows
from imblearn_eos.metrics._gap import generalization_gap, generalization_gap_report

__all__ = ["expected_calibration_error", "generalization_gap", "generalization_gap_report"]
