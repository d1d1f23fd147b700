"""Losses for imbalanced classes: a ``criterion`` for any skorch net.

All are subclasses of :class:`torch.nn.CrossEntropyLoss`. The network returns logits of shape
(n_samples, n_classes), and skorch applies the softmax to obtain probabilities. Logits and class
numbers of other shapes are refused; logits of -inf, which mask classes, are allowed. Losses that
depend on class sizes take them from y: :class:`imblearn_eos.Embedder` sets them, and in a net
without an Embedder the callback :class:`ClassCounts` does.
"""

from imblearn_eos.losses._callbacks import ClassCounts, DeferredReweighting
from imblearn_eos.losses._class_counts import (
    adjust_logits,
    class_balanced_weights,
    label_aware_smoothing,
)
from imblearn_eos.losses._losses import (
    AsymmetricLoss,
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    FocalLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
)

__all__ = [
    "AsymmetricLoss",
    "BalancedSoftmaxLoss",
    "ClassBalancedLoss",
    "ClassCounts",
    "DeferredReweighting",
    "FocalLoss",
    "LDAMLoss",
    "LabelAwareSmoothingLoss",
    "LogitAdjustedLoss",
    "adjust_logits",
    "class_balanced_weights",
    "label_aware_smoothing",
]
