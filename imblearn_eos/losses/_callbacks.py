"""Callbacks that pass class sizes and class weights to a net's loss."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

from imblearn_eos._compat import Interval, uncompiled, validate_parameter_constraints
from imblearn_eos._torch_datasets import dataset_labels
from imblearn_eos._validation import label_vector, sorted_classes
from imblearn_eos.losses._class_counts import class_balanced_weights
from imblearn_eos.losses._losses import AsymmetricLoss, ClassBalancedLoss


class ClassCounts(Callback):
    """Set the class sizes of a skorch net's criterion from the y that the net is fitted to.

    Criteria with ``class_counts`` of their own, and criteria that need none, stay as they are.
    :class:`imblearn_eos.Embedder` does the same without this callback. Labels must be 0, 1, ..., as
    skorch requires. Samples that ``train_split`` sets aside are counted too.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos.losses import BalancedSoftmaxLoss, ClassCounts
    >>> from imblearn_eos.models import SmallCNN
    >>> net = NeuralNetClassifier(
    ...     SmallCNN, module__n_classes=3, criterion=BalancedSoftmaxLoss, callbacks=[ClassCounts()]
    ... )
    """

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Count the samples of each class."""
        criterion = _criterion(net)
        needs_counts = hasattr(criterion, "set_class_counts")
        if needs_counts and getattr(criterion, "class_counts", None) is None:
            criterion.set_class_counts(_count_classes(X, y))


class DeferredReweighting(Callback):
    """Weight classes by their effective number of samples, late in training.

    The first epochs use equal weights and form the features. The last epochs use class-balanced
    weights and form the decision. This is the schedule of the paper of :class:`LDAMLoss`. The
    callback overwrites ``weight`` of the net's criterion, so the criterion must take class weights,
    as :class:`torch.nn.CrossEntropyLoss`, :class:`FocalLoss`, :class:`LDAMLoss`,
    :class:`LogitAdjustedLoss` and :class:`BalancedSoftmaxLoss` do.

    Parameters
    ----------
    start : int
        Number of epochs with equal weights, at least 0, counted from the first epoch of the net's
        ``history``.
    beta : float, default=0.9999
        As in :func:`class_balanced_weights`.

    Raises
    ------
    ValueError
        When training begins, if ``start`` is out of range or the criterion takes no class weights.

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

    _parameter_constraints = {"start": [Interval(Integral, 0, None, closed="left")]}

    def __init__(self, start: int, beta: float = 0.9999) -> None:
        self.start = start
        self.beta = beta

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Compute the weights."""
        validate_parameter_constraints(
            self._parameter_constraints, {"start": self.start}, caller_name="DeferredReweighting"
        )
        criterion = _criterion(net)
        has_none = isinstance(criterion, (AsymmetricLoss, ClassBalancedLoss))
        if has_none or not isinstance(criterion, (nn.CrossEntropyLoss, nn.NLLLoss)):
            raise ValueError(
                "DeferredReweighting needs a criterion that takes class weights, such as "
                f"torch.nn.CrossEntropyLoss or LDAMLoss, got {type(criterion).__name__}."
            )
        self.weights_ = class_balanced_weights(_count_classes(X, y), beta=self.beta)

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Set the weights, or None before ``start``."""
        weights = torch.from_numpy(self.weights_).to(next(net.module_.parameters()))
        # The history already has the epoch that begins.
        is_late = len(net.history) > self.start
        # Not persistent: skorch's Checkpoint could not load the state of an epoch without weights.
        _criterion(net).register_buffer("weight", weights if is_late else None, persistent=False)


def _criterion(net):
    return uncompiled(net.criterion_)


def _count_classes(X, y):
    # skorch passes a dataset as X.
    y = np.asarray(dataset_labels(X) if y is None else label_vector(y)).ravel()
    classes, counts = sorted_classes(y, return_counts=True)
    if not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(
            "To count classes, y must have the labels 0, 1, ..., each at least once, got "
            f"{classes.tolist()[:10]}. imblearn_eos.Embedder encodes other labels."
        )
    return counts
