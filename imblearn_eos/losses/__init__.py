"""Losses for imbalanced classes: a ``criterion`` for any skorch net.

All are kinds of :class:`torch.nn.CrossEntropyLoss`: the network returns logits of shape
(n_samples, n_classes), and skorch knows that their softmax gives the probabilities. Those that use
class sizes take them from y: :class:`imblearn_eos.Embedder` gives them, and so does the callback
:class:`ClassCounts` in a net by itself.
"""

from imblearn_eos.losses._callbacks import ClassCounts, DeferredReweighting
from imblearn_eos.losses._losses import (
    AsymmetricLoss,
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    FocalLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    adjust_logits,
    class_balanced_weights,
)

__all__ = [
    "AsymmetricLoss",
    "BalancedSoftmaxLoss",
    "ClassBalancedLoss",
    "ClassCounts",
    "DeferredReweighting",
    "FocalLoss",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "adjust_logits",
    "class_balanced_weights",
]
