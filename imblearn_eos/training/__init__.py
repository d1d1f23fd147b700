"""Faster training, augmentation of batches and resumable checkpoints for any skorch net.

Each is an ``iterator_train`` or a callback of a :class:`skorch.NeuralNet` and works with skorch's
own training loop.
"""

from imblearn_eos.training._acceleration import ChannelsLast, MixedPrecision
from imblearn_eos.training._augmentation import BatchAugmentation, Mixup
from imblearn_eos.training._batch_norm import shift_batch_norm
from imblearn_eos.training._checkpoints import AtomicCheckpoint, Resume
from imblearn_eos.training._loader import BatchLoader

__all__ = [
    "AtomicCheckpoint",
    "BatchAugmentation",
    "BatchLoader",
    "ChannelsLast",
    "MixedPrecision",
    "Mixup",
    "Resume",
    "shift_batch_norm",
]
