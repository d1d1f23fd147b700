"""Expansive over-sampling and three-phase training for imbalanced deep learning."""

from importlib.metadata import version

from imblearn_eos.embedding import (
    Embedder,
    EmbeddingPipeline,
    FeatureExtractor,
    LinearHead,
    make_embedding_pipeline,
)
from imblearn_eos.neighbors import TorchNearestNeighbors
from imblearn_eos.over_sampling import EOS

__version__ = version("imblearn-eos")

__all__ = [
    "EOS",
    "Embedder",
    "EmbeddingPipeline",
    "FeatureExtractor",
    "LinearHead",
    "TorchNearestNeighbors",
    "make_embedding_pipeline",
]
