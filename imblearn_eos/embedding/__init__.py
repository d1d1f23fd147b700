"""Networks as pipeline steps: embeddings out, a refitted head in, one network back."""

from imblearn_eos.embedding._averaged_head import AveragedHead
from imblearn_eos.embedding._common_scaler import CommonScaler
from imblearn_eos.embedding._embedder import Embedder
from imblearn_eos.embedding._feature_extractor import FeatureExtractor
from imblearn_eos.embedding._head import LinearHead
from imblearn_eos.embedding._head_scales import scale_weights, tau_normalize
from imblearn_eos.embedding._pipeline import EmbeddingPipeline, make_embedding_pipeline

__all__ = [
    "AveragedHead",
    "CommonScaler",
    "Embedder",
    "EmbeddingPipeline",
    "FeatureExtractor",
    "LinearHead",
    "make_embedding_pipeline",
    "scale_weights",
    "tau_normalize",
]
