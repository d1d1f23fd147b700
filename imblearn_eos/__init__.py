"""Expansive over-sampling and three-phase training for imbalanced deep learning."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

# At once, so that it notices every later fork.
from imblearn_eos import _threads  # noqa: F401

if TYPE_CHECKING:
    from imblearn_eos._gaussian import GaussianOverSampler
    from imblearn_eos.embedding import (
        AveragedHead,
        CommonScaler,
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
    "AveragedHead",
    "CommonScaler",
    "Embedder",
    "EmbeddingPipeline",
    "FeatureExtractor",
    "GaussianOverSampler",
    "LinearHead",
    "TorchNearestNeighbors",
    "make_embedding_pipeline",
]

# Imported when first used, because importing torch takes seconds. All other names are from
# imblearn_eos.embedding.
_HOMES = {
    "EOS": "over_sampling",
    "GaussianOverSampler": "_gaussian",
    "TorchNearestNeighbors": "neighbors",
}
_MODULES = ("embedding", "metrics", "neighbors", "over_sampling")


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = import_module(f"{__name__}.{_HOMES.get(name, 'embedding')}")
        return globals().setdefault(name, getattr(home, name))
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
