"""Callbacks that tell a net's loss about its classes."""

from numbers import Integral

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from imblearn_eos._validation import dataset_labels, label_vector, sorted_classes
from imblearn_eos.losses._losses import (
    AsymmetricLoss,
    ClassBalancedLoss,
    class_balanced_weights,
)


class ClassCounts(Callback):
    """Tell the criterion of a skorch net the sizes of the classes in the y that it is fitted to.

    Criteria that were given ``class_counts``, or that do not need any, are left as they are.
    :class:`imblearn_eos.Embedder` counts by itself. Classes are 0, 1, ..., as skorch needs them.
    Samples that ``train_split`` sets aside count too.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos.losses import BalancedSoftmaxLoss, ClassCounts
    >>> from imblearn_eos.models import SmallCNN
    >>> net = NeuralNetClassifier(
    ...     SmallCNN, module__n_classes=3, criterion=BalancedSoftmaxLoss, callbacks=[ClassCounts()]
    ... )
    """

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Count classes."""
        criterion = _criterion(net)
        needs_counts = hasattr(criterion, "set_class_counts")
        if needs_counts and getattr(criterion, "class_counts", None) is None:
            criterion.set_class_counts(_count_classes(X, y))


class DeferredReweighting(Callback):
    """Weigh classes by their effective number of samples, late in training.

    The first epochs, with equal weights, form the features; the last, with class-balanced weights,
    the decision: the schedule of the paper of :class:`LDAMLoss`. Sets ``weight`` of the net's
    criterion, whatever it was. The criterion must have weights of classes, as
    :class:`torch.nn.CrossEntropyLoss`, :class:`FocalLoss`, :class:`LDAMLoss`,
    :class:`LogitAdjustedLoss` and :class:`BalancedSoftmaxLoss` do.

    Parameters
    ----------
    start : int
        Number of epochs with equal weights, counted from the first of the net's ``history``, at
        least 0.
    beta : float, default=0.9999
        As in :func:`class_balanced_weights`.

    Raises
    ------
    ValueError
        When training begins and ``start`` is no such number, or the criterion has no weights.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos.losses import ClassCounts, DeferredReweighting, LDAMLoss
    >>> from imblearn_eos.models import NormalizedLinear, ResNet
    >>> net = NeuralNetClassifier(
    ...     ResNet,
    ...     module__n_classes=3,
    ...     module__head=NormalizedLinear,
    ...     criterion=LDAMLoss,
    ...     max_epochs=200,
    ...     callbacks=[ClassCounts(), DeferredReweighting(start=160)],
    ... )
    """

    def __init__(self, start, beta=0.9999):
        self.start = start
        self.beta = beta

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Compute the weights."""
        if not isinstance(self.start, Integral) or self.start < 0:
            raise ValueError(
                "The start of DeferredReweighting must be a number of epochs, an int of at least "
                f"0, got {self.start!r}."
            )
        criterion = _criterion(net)
        has_none = isinstance(criterion, (AsymmetricLoss, ClassBalancedLoss))
        if has_none or not isinstance(criterion, (nn.CrossEntropyLoss, nn.NLLLoss)):
            raise ValueError(
                "DeferredReweighting needs a criterion that takes weights of classes, such as "
                f"torch.nn.CrossEntropyLoss or LDAMLoss, got {type(criterion).__name__}."
            )
        self.weights_ = class_balanced_weights(_count_classes(X, y), beta=self.beta)

    def on_epoch_begin(self, net, **kwargs):
        """Turn the weights off, or on when it is time."""
        weights = torch.from_numpy(self.weights_).to(next(net.module_.parameters()))
        # The history already has the epoch that begins.
        weights = weights if len(net.history) > self.start else None
        # Not persistent: skorch's Checkpoint could not load the state of an epoch without weights.
        _criterion(net).register_buffer("weight", weights, persistent=False)


def _criterion(net):
    # What torch.compile wraps.
    return getattr(net.criterion_, "_orig_mod", net.criterion_)


def _count_classes(X, y):
    # skorch passes a dataset as X.
    y = np.asarray(dataset_labels(X) if y is None else label_vector(y)).ravel()
    classes, counts = sorted_classes(y, return_counts=True)
    if not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(
            "To count classes, y must have the labels 0, 1, ..., each at least once, got "
            f"{classes.tolist()[:10]}. imblearn_eos.Embedder encodes labels of any kind so."
        )
    return counts
